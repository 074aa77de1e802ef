"""report.py: a trained model's page, and the page in a real browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Page, browser
from support.pages import block
from support.scripts import ODD, Command, Trained, script

from seq2seq.evaluation.translator import Translator


@pytest.fixture(scope="module")
def page(trained: Trained) -> Path:
    """The report of the small model, by the script."""
    done = script("report", f"run={ODD}", "resamples=20", "threads=1", cwd=trained.cwd)
    assert done.code == 0, done.err
    assert done.out == f"{ODD}/report.html\n"
    return trained.run / "report.html"


def test_the_maps_are_the_models_attention_between_words(page: Path, trained: Trained) -> None:
    sentences = block(page, 0)["sentences"]
    translator = Translator.load(trained.run)
    plain = [s for s in sentences if s["h"] and all(s[side] == " ".join(s[side].split()) for side in "sh")]
    assert len(plain) > 3
    assert all("a" in sentence for sentence in plain)
    for sentence in plain:
        pair = translator.score([sentence["s"]], [sentence["h"]], attention=True)[0]
        assert pair.attention is not None
        expected = [[0.0] * (len(sentence["s"].split()) + 1) for _ in range(len(sentence["h"].split()) + 1)]
        rows, columns = (
            [number_of_word(pieces, i) for i in range(len(pieces))] for pieces in (pair.tokens, pair.source_tokens)
        )
        for t, row in enumerate(rows):
            for s, column in enumerate(columns):
                expected[row][column] += float(pair.attention[t, s]) / rows.count(row)
        packed = [byte / 255 for byte in base64.b64decode(sentence["a"])]
        assert packed == pytest.approx([weight for row in expected for weight in row], abs=0.5 / 255 + 1e-4)


def number_of_word(pieces: list[str], place: int) -> int:
    """A word begins with each piece that has SentencePiece's space before it, and with the end of sentence."""
    return sum(piece.startswith("\u2581") or piece == "</s>" for piece in pieces[: place + 1]) - 1


def test_scores_are_those_of_the_test(page: Path, trained: Trained) -> None:
    for number, name in enumerate(("a", "b-2")):
        scores, own = block(page, number)["scores"], trained.results["test"][name]
        assert {key: scores[key] for key in ("bleu", "chrf", "exact_match")} == {
            key: own[key] for key in ("bleu", "chrf", "exact_match")
        }


def test_fewer_maps_and_none(command: Command, model: str, here: Path) -> None:
    for name, word, maps in (("few.html", "sentences=4", 4), ("none.html", "attention=false", 0)):
        done = command("report", model, f"output={name}", word, "resamples=2", "threads=1")
        assert (done.code, done.out) == (0, f"{name}\n"), done.err
        sentences = block(here / name, 0)["sentences"]
        assert len(sentences) == 15
        assert sum("a" in sentence for sentence in sentences) <= maps
        assert any("a" in sentence for sentence in sentences) == bool(maps)


def test_without_weights_there_is_a_way(command: Command, trained: Trained, here: Path) -> None:
    (here / "r" / "translations").mkdir(parents=True)
    for file in ["config.json", *(f"translations/a.{part}" for part in ("source", "reference", "hypothesis"))]:
        (here / "r" / file).write_bytes((trained.run / file).read_bytes())
    done = command("report", "run=r", "resamples=2")
    assert done.code == 1
    assert "attention=false makes the report without the model's weights" in done.err
    assert not (here / "r" / "report.html").exists()
    assert command("report", "run=r", "attention=false", "resamples=2").code == 0


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason="no Chromium or Chrome on PATH: apt-get install chromium")
class TestInABrowser:
    """The page as its reader has it: by mouse, keys and touch, without a word of complaint and without a network."""

    @pytest.fixture
    def seen(self, page: Path, tmp_path: Path) -> Iterator[Page]:
        with Page(tmp_path / "profile") as seen:
            seen.open(page.as_uri())
            yield seen
            for kind in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                assert seen.told(kind) == []
            assert [event["request"]["url"] for event in seen.told("Network.requestWillBeSent")] == [page.as_uri()]

    def weights(self, seen: Page, side: str) -> list[float]:
        return list(
            seen.evaluate(
                f"[...document.querySelectorAll('.sentence:first-child .{side} .word')]"
                ".map(word => Number(word.style.getPropertyValue('--w') || 0))"
            )
        )

    def first(self, seen: Page, page: Path) -> list[list[float]]:
        """The weights of the sentence that is shown first, out of the page's data."""
        number = int(seen.evaluate("document.querySelector('.sentence .number').textContent"))
        sentence = block(page, 0)["sentences"][number - 1]
        packed, columns = base64.b64decode(sentence["a"]), len(sentence["s"].split()) + 1
        return [[byte / 255 for byte in packed[i : i + columns]] for i in range(0, len(packed), columns)]

    def test_the_mouse_asks_where_a_word_looked_and_who_looked_at_one(self, seen: Page, page: Path) -> None:
        weights = self.first(seen, page)
        seen.hover(".sentence:first-child .h .word[data-i='1']")
        assert self.weights(seen, "s") == pytest.approx(weights[1], abs=1e-3)
        assert "looked at" in seen.evaluate("document.querySelector('.status').textContent")
        seen.hover(".sentence:first-child .s .word[data-i='0']")
        assert self.weights(seen, "h") == pytest.approx([row[0] for row in weights], abs=1e-3)
        assert sum(self.weights(seen, "s")) == 0
        seen.hover("h1")
        assert sum(self.weights(seen, "h")) == 0

    def test_keys_and_fingers_ask_too(self, seen: Page, page: Path) -> None:
        weights = self.first(seen, page)
        seen.evaluate("document.querySelector('.sentence:first-child .h .word').focus()")
        seen.press("ArrowRight")
        assert self.weights(seen, "s") == pytest.approx(weights[1], abs=1e-3)
        seen.press("Enter")  # it stays
        seen.evaluate("document.activeElement.blur()")
        assert self.weights(seen, "s") == pytest.approx(weights[1], abs=1e-3)
        seen.call("Emulation.setTouchEmulationEnabled", {"enabled": True})
        word = ".sentence:first-child .s .word[data-i='2']"
        seen.tap(word)
        seen.until(f"document.querySelector(\"{word}\").getAttribute('aria-pressed') === 'true'")
        assert self.weights(seen, "h") == pytest.approx([row[2] for row in weights], abs=1e-3)

    def test_the_heat_map_has_a_cell_for_each_pair(self, seen: Page, page: Path) -> None:
        weights = self.first(seen, page)
        seen.evaluate("document.querySelector('.map-button').click()")
        cells = seen.evaluate(
            "[...document.querySelectorAll('.map .cell')].map(c => Number(c.getAttribute('fill-opacity')))"
        )
        assert cells == pytest.approx([weight for row in weights for weight in row], abs=1e-3)
        seen.hover(".map .cell:nth-of-type(3)")
        assert "looked at" in seen.evaluate("document.querySelector('.status').textContent")

    def test_any_sentence_can_be_found(self, seen: Page, page: Path) -> None:
        sentences = block(page, 0)["sentences"]
        numbers = "[...document.querySelectorAll('.set:not([hidden]) .number')].map(n => Number(n.textContent))"
        assert seen.evaluate(numbers) == [s["n"] for s in sorted(sentences, key=lambda s: (s["c"], s["n"]))]
        typed = (
            "(text => {{ const input = document.querySelector('.set:not([hidden]) input'); input.value = text;"
            "input.dispatchEvent(new Event('input')); }})({})"
        )
        seen.evaluate(typed.format(json.dumps("#7")))
        assert seen.evaluate(numbers) == [7]
        more = "getComputedStyle(document.querySelector('.set:not([hidden]) .more')).display"
        assert seen.evaluate(more) == "none"
        word = sentences[4]["r"].split()[1].upper()
        seen.evaluate(typed.format(json.dumps(word)))
        having = [s["n"] for s in sentences if any(word.lower() in s[side].lower() for side in "shr")]
        assert sorted(seen.evaluate(numbers)) == having
        seen.open(f"{page.as_uri()}#b-2/3")  # an address of a sentence opens its test set
        seen.evaluate("new Promise(requestAnimationFrame)")
        assert seen.evaluate(numbers) == [3]
        assert seen.evaluate("document.querySelector('[aria-selected=true]').textContent") == "b-2"

    @pytest.mark.parametrize("width", [320, 390, 1100])
    def test_nothing_sticks_out(self, seen: Page, width: int) -> None:
        seen.resize(width, 800)
        seen.evaluate("document.querySelector('.map-button').click()")
        assert seen.evaluate("document.documentElement.scrollWidth") == width
