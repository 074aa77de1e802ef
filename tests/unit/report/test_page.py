"""The whole page, of a run whose texts are an attacker's."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.finished import REFERENCES, SOURCES, make_run
from support.pages import line

from seq2seq.errors import ConfigError, DataError
from seq2seq.report.options import ReportConfig
from seq2seq.report.report import report

EVIL = [
    "<script>document.title='owned'</script> ein Hund",
    "</script><img src=http://evil.example/x onerror=alert(1)>",
    "<!--<script> ${style} $script",
    "رجل يقرأ كتابا",
    "&lt;b&gt; \u2028 'x' \"y\"",
]


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of scripts and styles."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[int, str] = {}
        self.texts: list[str] = []
        self._open: int | None = None
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._open = len(self.elements) - 1 if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is None:
            self.texts.append(data)
        else:
            self.inline[self._open] = self.inline.get(self._open, "") + data

    def blocks(self) -> dict[str, Any]:
        """The data in the page."""
        return {
            str(self.elements[i][1]["id"]): json.loads(text)
            for i, text in self.inline.items()
            if self.elements[i][1].get("type") == "application/json"
        }

    def code(self) -> dict[str, str]:
        """The text of the one style and the one script."""
        return {self.elements[i][0]: text for i, text in self.inline.items() if "type" not in self.elements[i][1]}


def make(tmp_path: Path, hypotheses: list[str], **options: Any) -> Path:
    run = make_run(tmp_path / "r", hypotheses)
    return report(ReportConfig.from_dict({"run": str(run), "attention": False, "resamples": 20, **options}))


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    folder = tmp_path_factory.mktemp("evil")
    hypotheses = [*EVIL, *REFERENCES[len(EVIL) :]]
    run = make_run(folder / "r<b>&'", hypotheses, tests=["test", "two"])
    for file in (run / "translations").glob("two.*"):
        file.rename(file.with_name(f"<i>x{file.suffix}"))
    source = run / "translations" / "test.source"
    source.write_text("".join(f"{line}\n" for line in [*reversed(EVIL), *SOURCES[len(EVIL) :]]), encoding="utf-8")
    path = report(ReportConfig.from_dict({"run": str(run), "attention": False, "resamples": 20}))
    assert path == run / "report.html"
    content = path.read_text(encoding="utf-8")
    return content, Page(content)


def test_no_text_becomes_an_element(evil: tuple[str, Page]) -> None:
    _, page = evil
    ours = (
        "html head meta link title style body header h1 p dl div dt dd small nav a main section h2 h3 "
        "table thead tbody tr th td span b code figure figcaption svg g line path circle rect text "
        "button ul li label input select noscript script"
    )
    assert {tag for tag, _ in page.elements} <= set(ours.split())
    assert len(page.code()) == 2
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.elements for name in attributes)
    assert "r<b>&'" in page.texts  # the title, as it is called
    assert "<i>x" in page.texts


def test_nothing_is_outside(evil: tuple[str, Page]) -> None:
    content, page = evil
    for _, attributes in page.elements:
        for name in {"src", "href", "data", "action", "srcset", "poster"} & attributes.keys():
            assert re.match(r"#|data:,", str(attributes[name])), attributes
    code = page.code()
    assert not re.search(r"url\(|@import|https?:", code["style"])
    assert not re.search(
        r"fetch|XMLHttpRequest|import\(|WebSocket|EventSource|innerHTML|eval|document\.write", code["script"]
    )
    assert re.findall("https?://[^ \"'<>]*", code["script"]) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert "://" not in re.sub(r"<script.*?</script>", "", content, flags=re.DOTALL)


def test_the_policy_lets_no_other_script_run(evil: tuple[str, Page]) -> None:
    _, page = evil
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    directives = dict(part.split(" ", 1) for part in str(policies[0]).split("; "))
    assert directives["default-src"] == "'none'"
    for kind, text in page.code().items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[f"{kind}-src"] == f"'sha256-{digest}'"


def test_every_sentence_can_be_read_back(evil: tuple[str, Page]) -> None:
    _, page = evil
    blocks = page.blocks()
    assert [block["name"] for block in blocks.values()] == ["test", "<i>x"]
    sentences = blocks["set-0"]["sentences"]
    assert [sentence["n"] for sentence in sentences] == list(range(1, 25))
    assert [line(sentence["h"]) for sentence in sentences[:5]] == EVIL
    assert [line(sentence["s"]) for sentence in sentences[:5]] == EVIL[::-1]
    assert [line(sentence["r"]) for sentence in sentences] == REFERENCES
    assert all("d" not in sentence and "m" not in sentence for sentence in sentences[5:])  # those are the reference's
    assert all(set(sentence["d"]) <= {"0", "1"} for sentence in sentences[:5])
    assert blocks["set-0"]["scores"]["bleu_signature"].startswith("nrefs:1|bs:20|seed:")


def test_a_page_without_attention_says_so(evil: tuple[str, Page]) -> None:
    assert any("attention=false" in text for text in evil[1].texts)
    assert not any("a" in sentence for sentence in evil[1].blocks()["set-0"]["sentences"])


def test_scores_and_intervals_are_in_the_page(tmp_path: Path) -> None:
    content = make(tmp_path, REFERENCES).read_text(encoding="utf-8")
    assert "100.0 ± 0.0" in content
    assert "100.0%" in content


def test_a_run_that_is_not_finished_has_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    (run / "results.json").unlink()
    for file in (run / "translations").iterdir():
        file.unlink()
    (run / "metrics.jsonl").write_text('{"kind": "train", "update": 5, "perplexity": 3.5}\n{"kind": "tr')
    page = Page(report(ReportConfig.from_dict({"run": str(run)})).read_text(encoding="utf-8"))
    assert any("not over yet" in text for text in page.texts)
    assert any("no translation" in text for text in page.texts)
    assert "Perplexity" in page.texts


def test_results_of_another_shape_do_no_harm(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    (run / "results.json").write_text(json.dumps({"train": [1], "model": {"parameters": "x"}, "versions": 3}))
    (run / "data.json").write_text(json.dumps({"files": {"test": 3, "train": {"a": 1}}, "pairs": None}))
    assert report(ReportConfig.from_dict({"run": str(run), "attention": False, "resamples": 2})).is_file()


def test_no_other_file_is_written_over(tmp_path: Path) -> None:
    first = make(tmp_path, REFERENCES)
    again = ReportConfig.from_dict(
        {"run": str(first.parent), "attention": False, "resamples": 20, "output": str(first)}
    )
    assert report(again) == first  # an older report may go
    mine = tmp_path / "thesis.html"
    mine.write_text("<!DOCTYPE html><title>My thesis</title>")
    for name, message in (
        (mine, "is there already and no report of ours"),
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "no" / "such.html", "there is no folder"),
    ):
        options = ReportConfig.from_dict({"run": str(first.parent), "attention": False, "output": str(name)})
        with pytest.raises(ConfigError, match=message):
            report(options)
    assert "thesis" in mine.read_text()


def test_translations_must_be_aligned(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", ["one line"])
    with pytest.raises(
        DataError, match=r"test\.source has 24 lines but .*test\.hypothesis has 1; they must be aligned"
    ):
        report(ReportConfig.from_dict({"run": str(run), "attention": False}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a report on which model\\? set run=FOLDER"),
        ({"run": "r", "lengths": [8, 8]}, "lengths=\\[8, 8\\] must be rising"),
        ({"run": "r", "sentence": 3}, "did you mean sentences"),
        ({"run": ["a", "b"]}, "run=.* it must be text or null"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReportConfig.from_dict(options)
