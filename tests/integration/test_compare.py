"""compare.py: several trainings in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.scripts import SMALL, Command, tiny, write_pairs

from seq2seq.evaluation.metrics import bleu_by_length, corpus_bleu
from seq2seq.options import MetricConfig


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A table of two small rows."""
    data = [
        f"data.{name}={write_pairs(tmp_path / name, *tiny(split, 0, size))}"
        for name, split, size in (("train", "train", 200), ("valid", "valid", 10), ("test", "test", 30))
    ]
    options = " ".join([*SMALL, *data, "trainer.max_updates=3", "trainer.samples=0"])
    rows = ["+table.rows.plain=attention=none", "+table.rows.luong=attention=luong_dot decoder.input_feeding=true"]
    return [*rows, f"table.common={options}", "table.name=two", "lengths=[8,12]"]


def test_a_table_has_a_row_for_each_training(command: Command, here: Path, words: list[str]) -> None:
    done = command("compare", *words, "only=[plain,luong]")
    assert done.code == 0, done.err
    folder = here / "runs" / "compare" / "two"
    assert done.out == (folder / "table.md").read_text(encoding="utf-8")
    head, _, *rows = done.lines
    assert head.endswith("| BLEU | 1-7 | 8-11 | 12+ |")
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["plain", "luong"]
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    results = json.loads((folder / "luong" / "results.json").read_text(encoding="utf-8"))
    row = table["rows"][1]
    assert row["options"] == "attention=luong_dot decoder.input_feeding=true"
    assert row["bleu"] == results["test"]["test"]["bleu"]
    assert row["parameters"] == results["model"]["parameters"]
    lines = {
        part: (folder / "luong" / "translations" / f"test.{part}").read_text(encoding="utf-8").splitlines()
        for part in ("source", "hypothesis", "reference")
    }
    short = [i for i, line in enumerate(lines["source"]) if len(line.split()) < 8]
    hypotheses, references = ([lines[part][i] for i in short] for part in ("hypothesis", "reference"))
    assert row["bleu_by_length"]["1-7"] == pytest.approx(corpus_bleu(hypotheses, references, MetricConfig()), abs=1e-4)

    # What is done isn't done again; one row more is.
    before = (folder / "luong" / "results.json").stat().st_mtime_ns
    again = command("compare", *words, "+table.rows.third=attention=luong_general", "only=[third]")
    assert again.code == 0, again.err
    assert [row.split(" | ")[0].strip("| ") for row in again.lines[2:]] == ["plain", "luong", "third"]
    assert (folder / "luong" / "results.json").stat().st_mtime_ns == before

    # Neither are other options mixed in, nor what was cut short taken for done.
    other = command("compare", *words, "common=seed=2", "only=[luong]")
    assert other.code == 1
    assert "was trained with" in other.err
    assert "set another folder=" in other.err
    (folder / "table.json").unlink()
    shutil.rmtree(folder / "plain")
    cut = command("compare", *words, "only=[plain,luong]")
    assert (cut.code, "luong is a training that was cut short" in cut.err) == (1, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["only=[luoong]"], "only=luoong is no row of the table: did you mean luong?"),
        (["lengths=[9,4]"], "lengths=[9, 4] must be rising numbers of words"),
        (["+table.rows.bad=attention=luong", "only=[bad]"], "row bad: unknown attention=luong"),
        (["+table.rows.bad=data.test=null", "only=[bad]"], "row bad: without a test set there is nothing to compare"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    more: list[str], said: str, command: Command, here: Path, words: list[str]
) -> None:
    done = command("compare", *words, *more)
    assert done.code == 1
    assert said in done.err
    assert not (here / "runs").exists()


def test_groups_of_lengths_share_the_sentences_out() -> None:
    sources = ["a", "a b", "a b c", "a b c d", ""]
    hypotheses = ["the cat sat on it", "a dog ran over there", "we two are here now", "all is well that ends", "x"]
    references = [hypotheses[0], hypotheses[1], "something else altogether, I say", hypotheses[3], "y"]
    scores = bleu_by_length(sources, hypotheses, references, [2, 3, 4, 9], MetricConfig())
    assert list(scores) == ["1-1", "2-2", "3-3", "4-8", "9+"]
    assert scores["2-2"] == scores["4-8"] == pytest.approx(100)
    assert scores["3-3"] < 10
    assert scores["1-1"] < 100  # an empty line counts among the shortest
    assert scores["9+"] is None
