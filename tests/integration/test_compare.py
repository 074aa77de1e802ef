"""compare.py: several trainings, or finished runs, in one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.finished import BAD, make_run
from support.scripts import SMALL, Command, Done, tiny, write_pairs

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


def names(done: Done) -> list[str]:
    """The rows of the table that was printed."""
    assert done.code == 0, done.err
    return [line.split()[0] for line in done.lines[1 : done.lines.index("")]]


def test_a_table_has_a_row_for_each_training(command: Command, here: Path, words: list[str]) -> None:
    done = command("compare", *words, "only=[plain,luong]")
    assert done.code == 0, done.err
    folder = here / "runs" / "compare" / "two"
    written = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    assert written[0].endswith("| BLEU | 1-7 | 8-11 | 12+ |")
    assert [line.split(" | ")[0] for line in written[2:4]] == ["| plain", "| luong"]
    assert names(done) == ["plain", "luong"]
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    results = json.loads((folder / "luong" / "results.json").read_text(encoding="utf-8"))
    row = table["rows"][1]
    assert row["options"] == "attention=luong_dot decoder.input_feeding=true"
    assert row["bleu"] == results["test"]["test"]["bleu"]
    assert row["parameters"] == results["model"]["parameters"]
    assert f"| {row['bleu']:.1f} ± {row['bleu_interval']:.1f} |" in written[3]
    lines = {
        part: (folder / "luong" / "translations" / f"test.{part}").read_text(encoding="utf-8").splitlines()
        for part in ("source", "hypothesis", "reference")
    }
    short = [i for i, line in enumerate(lines["source"]) if len(line.split()) < 8]
    hypotheses, references = ([lines[part][i] for i in short] for part in ("hypothesis", "reference"))
    assert row["bleu_by_length"]["1-7"] == pytest.approx(corpus_bleu(hypotheses, references, MetricConfig()), abs=1e-4)


def test_what_is_done_is_not_done_again(command: Command, here: Path, words: list[str]) -> None:
    folder = here / "runs" / "compare" / "two"
    assert names(command("compare", *words, "only=plain")) == ["plain"]
    before = (folder / "plain" / "results.json").stat().st_mtime_ns
    third = ["+table.rows.third-one=attention=luong_general seed=3"]
    assert names(command("compare", *words, *third, "only=[third-one]")) == ["plain", "third-one"]
    assert names(command("compare", *words, "only=[plain,luong]")) == ["plain", "luong"]
    assert names(command("compare", *words, *third, "only=luong")) == ["plain", "luong", "third-one"]
    assert (folder / "plain" / "results.json").stat().st_mtime_ns == before

    # A run that was cut short is gone on with; one of other options stays, and is refused.
    (folder / "plain" / "results.json").unlink()
    again = command("compare", *words, "only=plain")
    assert (again.code, "resuming from update" in again.err) == (0, True)
    other = command("compare", *words, "common=seed=2", "only=[luong]")
    assert other.code == 1
    assert "luong was trained with another seed; set another folder=" in other.err
    # Neither is it shown among rows of the new options.
    other = command("compare", *words, "common=seed=2", "only=[plain]")
    assert (other.code, other.out) == (1, "")


def test_a_row_that_fails_lets_the_others_run(command: Command, here: Path, words: list[str]) -> None:
    bad = "+table.rows.bad=data.valid=nowhere"
    done = command("compare", *words, bad, "only=[bad,plain]")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("error: row bad: neither nowhere.de nor")
    table = json.loads((here / "runs" / "compare" / "two" / "table.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in table["rows"]] == ["plain"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["only=[luoong]"], "only=luoong is no row of the table: did you mean luong?"),
        (["lengths=[9,4]"], "lengths=[9, 4] must be rising numbers of words"),
        (["+table.rows.bad=attention=luong", "only=[bad]"], "row bad: unknown attention=luong"),
        (["+table.rows.bad=data.test=null", "only=[bad]"], "row bad: without a test set there is nothing to compare"),
        (["+table.rows.bad=seed='1", "only=[bad]"], "row bad: No closing quotation"),
        (["only=[]"], "there are no rows to train"),
        (["table=atentions"], "unknown table=atentions: did you mean attentions?"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    more: list[str], said: str, command: Command, here: Path, words: list[str]
) -> None:
    done = command("compare", *words, *more)
    assert done.code == 1
    assert said in done.err
    assert not (here / "runs").exists()


def test_finished_runs_are_compared_by_their_folders(command: Command, here: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "sweep" / "attention=none,seed=1", BAD, {"attention": {"name": "none"}})
    make_run(tmp_path / "sweep" / "attention=luong_general,seed=1", begun=1)
    (here / "x, y").write_text("".join(f"{line}\n" for line in BAD), encoding="utf-8")
    few = ["resamples=100", "trials=100"]
    done = command("compare", "run=../sweep", "hypothesis={moses: 'x, y'}", "folder=out", *few)
    assert names(done) == ["attention=none", "attention=luong_general", "moses"]
    assert (here / "out" / "table.md").read_text(encoding="utf-8").count("| p = 0.010 |") == 3  # 1 of 100 + 1
    table = json.loads((here / "out" / "table.json").read_text(encoding="utf-8"))
    assert [row["bleu_p"] for row in table["rows"][1:]] == [pytest.approx(1 / 101, abs=1e-6), 1]
    listed = "run=[../sweep/attention=luong_general,seed=1,../sweep/attention=none,seed=1]"
    assert names(command("compare", listed, *few)) == ["attention=luong_general", "attention=none"]
    assert sorted(path.name for path in here.iterdir()) == ["out", "x, y"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=nowhere"], "run=nowhere: no such folder"),
        (["run=[]"], "run=[] names no run"),
        (["test=x"], "test is for finished runs"),
        (["run=nowhere", "sigificance=bs"], "unknown option sigificance: did you mean significance?"),
    ],
)
def test_what_is_wrong_with_runs_is_said_in_a_line(words: list[str], said: str, command: Command, here: Path) -> None:
    done = command("compare", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {said}")


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
