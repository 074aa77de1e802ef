"""Finished runs beside each other: rows, recipes, and what can't be compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.finished import BAD, GOOD, REFERENCES, SOURCES, make_run

from seq2seq.comparison.comparison import Comparison
from seq2seq.comparison.options import CompareConfig
from seq2seq.comparison.runs import compare_runs
from seq2seq.errors import CheckpointError, ConfigError, DataError, Seq2SeqError

NONE = {"attention": {"name": "none"}}


def compared(*runs: Path, **options: Any) -> Comparison:
    plain = {"run": [str(run) for run in runs], "trials": 200, "resamples": 100, "lengths": [9], **options}
    return compare_runs(CompareConfig.from_dict(plain))


def test_each_run_is_scored_and_tested_against_the_first(tmp_path: Path) -> None:
    comparison = compared(
        make_run(tmp_path / "a"),
        make_run(tmp_path / "b", BAD, NONE),
        make_run(tmp_path / "c", GOOD, {"seed": 2}),
        group="none",
    )
    first, bad, same = comparison.results["rows"]
    assert [first["name"], bad["name"]] == ["attention=luong_general seed=1", "attention=none seed=1"]
    assert (first["exact_match"], bad["exact_match"]) == (0.75, 0)
    assert first["bleu"] > 80 > bad["bleu"]
    assert "bleu_p" not in first
    assert (bad["bleu_p"] < 0.01, same["bleu_p"]) == (True, 1)
    assert first["minutes_to_best"] == 2.5  # of update 20, the best
    assert list(first["bleu_by_length"]) == ["1-8", "9+"]
    assert set(comparison.results) == {"test", "sentences", "metric", "significance", "resamples", "seed", "rows"}


def test_what_is_printed_says_what_it_is(tmp_path: Path) -> None:
    comparison = compared(
        make_run(tmp_path / "a"), make_run(tmp_path / "b", BAD, NONE), folder=str(tmp_path / "new" / "out")
    )
    text = comparison.text()
    assert re.search(r"^attention=luong_general +\d\d\.\d ± \d\.\d  +\d\d\.\d", text, re.MULTILINE)
    assert re.search(r"^attention=none +\d\d\.\d ± \d\.\d  p = 0\.005  ", text, re.MULTILINE)  # 1 of 200 + 1
    assert "two-sided approximate randomisation (Riezler & Maxwell 2005) against attention=luong_general" in joined(
        text
    )
    assert "nrefs:1|bs:100|seed:12345|case:mixed" in text
    assert max(map(len, text.splitlines())) <= 120
    written = (tmp_path / "new" / "out" / "table.md").read_text(encoding="utf-8")
    assert written == comparison.markdown()
    assert written.startswith("| run | BLEU |  | chrF |  | TER |  | exact % | parameters |")
    assert "| p = 0.005 |" in written
    assert json.loads((tmp_path / "new" / "out" / "table.json").read_text(encoding="utf-8")) == comparison.results


def test_p_is_not_said_to_be_nothing(tmp_path: Path) -> None:
    comparison = compared(make_run(tmp_path / "a"), make_run(tmp_path / "b", BAD, NONE), trials=2000)
    assert comparison.results["rows"][1]["bleu_p"] == pytest.approx(1 / 2001, abs=1e-6)
    assert "p < 0.001" in comparison.text()


def test_seeds_are_taken_together(tmp_path: Path) -> None:
    make_run(tmp_path / "sweep" / "y", GOOD, {"seed": 1}, begun=1)
    make_run(tmp_path / "sweep" / "x", REFERENCES, {"seed": 2}, begun=2)
    make_run(tmp_path / "sweep" / "b", BAD, {"seed": 1, **NONE}, begun=3)
    make_run(tmp_path / "sweep" / "a", BAD, {"seed": 2, **NONE}, begun=4)
    (tmp_path / "other").write_text("".join(f"{line}\n" for line in BAD), encoding="utf-8")
    comparison = compared(tmp_path / "sweep", hypothesis={"by hand": str(tmp_path / "other")})
    rows, (luong, none, file) = comparison.results["rows"], comparison.results["recipes"]
    assert [row["folder"].rpartition("/")[2] for row in rows[:4]] == ["y", "x", "b", "a"]  # as they were begun
    assert (luong["name"], none["name"], file["name"]) == ("attention=luong_general", "attention=none", "by hand")
    assert luong["bleu"] == pytest.approx((rows[0]["bleu"] + 100) / 2, abs=1e-3)
    assert luong["bleu_deviation"] == pytest.approx((100 - rows[0]["bleu"]) / 2**0.5, abs=1e-3)
    assert (none["bleu_deviation"], none["bleu_p"]) == (0, pytest.approx(1 / 3, abs=1e-4))  # 2 of the 6 ways
    assert (file["runs"], file["bleu"], "bleu_p" in file) == (["by hand"], rows[4]["bleu"], False)
    text = joined(comparison.text())
    assert "mean over seeds seeds BLEU" in text
    assert "can't be below 0.333 for 2 runs against 2" in text
    assert "recipes" not in compared(tmp_path / "sweep", group="none").results


def test_a_translation_from_elsewhere_has_no_cost(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("".join(f"{line}\n" for line in BAD), encoding="utf-8")
    run = make_run(tmp_path / "a")
    comparison = compared(run, hypothesis={"moses": str(tmp_path / "other")}, significance="none")
    line = next(line for line in comparison.markdown().splitlines() if line.startswith("| moses |"))
    assert "|  |  |  |  |" in line  # parameters, tokens/s, min, sent/s
    assert "p: " not in comparison.text()
    with pytest.raises(ConfigError, match=r"hypothesis\.a has the name of a run; give it another one"):
        compared(run, hypothesis={"a": str(tmp_path / "other")})
    (tmp_path / "other").write_text("one\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"hypothesis\.moses: .*other has 1 lines, and the test set test 24; they must"):
        compared(run, hypothesis={"moses": str(tmp_path / "other")})


def test_runs_of_other_test_sets_or_metrics_are_not_compared(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", tests=("news", "talks"))
    other = make_run(tmp_path / "b", references=[*REFERENCES[:-1], "Something else."], tests=("talks", "news"))
    with pytest.raises(DataError) as caught:
        compared(first, other)
    assert f"run={other} and run={first} were scored on different test sets news: line 24 of the reference" in str(
        caught.value
    )
    assert compared(make_run(tmp_path / "c", tests=("news", "talks")), first, test="talks").results["test"] == "talks"
    with pytest.raises(CheckpointError, match=r"run=.*a wasn't scored on a test set talk: did you mean test=talks\?"):
        compared(first, other, test="talk")
    lower = make_run(tmp_path / "l", options={"metric": {"lowercase": True}}, tests=("news",))
    with pytest.raises(ConfigError) as fault:
        compared(first, lower)
    assert str(fault.value) == (
        f"run={first} was scored with metric.lowercase=false and run={lower} with true; set metric.lowercase here, to "
        "score all alike"
    )
    alike = compared(first, lower, metric={"lowercase": True, "tokenize": None})
    assert alike.results["metric"] == {"tokenize": "13a", "lowercase": True}


def test_a_run_that_is_not_finished_is_left_out_of_a_sweep(tmp_path: Path) -> None:
    make_run(tmp_path / "sweep" / "a")
    cut = make_run(tmp_path / "sweep" / "b")
    (cut / "results.json").unlink()
    assert len(compared(tmp_path / "sweep").results["rows"]) == 1
    with pytest.raises(
        CheckpointError, match=r"isn't finished: it has no results\.json; go on with it by train\.py run="
    ):
        compared(cut)
    (tmp_path / "sweep" / "a" / "results.json").unlink()
    with pytest.raises(CheckpointError, match="none of its 2 runs is finished"):
        compared(tmp_path / "sweep")


def test_what_results_do_not_tell_stays_empty(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    (run / "results.json").write_text('{"test": {"test": []}, "model": "x", "train": {"seconds": "many"}}')
    (run / "metrics.jsonl").write_text('{"kind": "valid", "upd\n[]\n')
    (run / "sessions.jsonl").write_text("[1")
    row = compared(run).results["rows"][0]
    assert [row[key] for key in ("parameters", "seconds", "minutes_to_best", "sentences_per_second")] == [None] * 4
    (run / "translations" / "test.source").write_text("".join(f"{line}\n" for line in [*SOURCES, "noch einer"]))
    with pytest.raises(
        DataError, match=r"test\.source has 25 lines but .*test\.reference has 24; they must be aligned"
    ):
        compared(run)
    (run / "translations" / "test.source").write_text("".join(f"{line}\n" for line in SOURCES))
    (run / "translations" / "test.hypothesis").write_text("one\n")
    with pytest.raises(
        DataError, match=r"test\.source has 24 lines but .*test\.hypothesis has 1; they must be aligned"
    ):
        compared(run)


def test_folders_without_runs_are_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "sweep" / "a")
    for folders, said in (
        ([tmp_path / "no"], "no such folder"),
        ([run / "translations"], "is neither a run's folder nor one with runs in it, such as train.py -m makes"),
        ([run, run.parent], "is named twice"),
    ):
        with pytest.raises(CheckpointError, match=said):
            compared(*folders)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run": []}, r"run=\[\] names no run; set run=\[FOLDER,FOLDER\], or the folder of a sweep"),
        ({"run": "a", "only": "x"}, "only is for the rows of a table to train, and run= compares what is trained"),
        ({"table": {"rows": {"a": ""}}, "test": "x"}, "test is for finished runs; name them by run="),
        ({"table": {"rows": {"a": ""}}, "metric": {"lowercase": True}}, "metric is for finished runs"),
        ({"run": "a", "significance": "t"}, "significance=t is not allowed: it must be one of ar, bs, none"),
        ({"run": "a", "resamples": 10}, "resamples=10 is not allowed: it must be from 100 to 100000"),
        ({"run": "a", "seed": 0}, "seed=0 is not allowed: it must be at least 1"),
        ({"run": "a", "lengths": [9, 4]}, r"lengths=\[9, 4\] must be rising numbers of words"),
    ],
)
def test_options_that_can_not_be_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Seq2SeqError, match=said):
        CompareConfig.from_dict(options)


def joined(text: str) -> str:
    """In one line."""
    return " ".join(text.split())
