"""tune.py: penalties and beam size that suit a validation set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from support.scripts import Command, Corpus, Done, Trained

GRID = ["grid.beam_size=[1,4]", "grid.length_alpha=[0.5,2.0]", "grid.coverage_penalty=[0,0.3]"]


def test_each_row_is_what_a_search_with_its_words_scores(
    command: Command, trained: Trained, model: str, corpus: Corpus, here: Path
) -> None:
    pair = [f"source={corpus.tests['a']}.de", f"reference={corpus.tests['a']}.en"]
    done = command("tune", model, *pair, *GRID, "output=t=,.json", "rows=3", "workers=2")
    assert done.code == 0, done.err
    results = json.loads((here / "t=,.json").read_text(encoding="utf-8"))
    rows = results["rows"]
    assert len(rows) == 1 + 1 + 2 * (1 + 2 * 2)  # the default with beam 3; beam 1; beam 4
    assert rows == sorted(rows, key=lambda row: -row["bleu"])
    assert [row["default"] for row in rows].count(True) == 1
    assert results["default"]["bleu"] == trained.results["test"]["a"]["bleu"]  # what the training's end has scored
    assert results["scores"]["bleu"] == results["best"]["bleu"] == rows[0]["bleu"]
    for row in (rows[0], rows[4], rows[-1]):
        names = ("beam_size", "length_penalty", "length_alpha", "coverage_penalty")
        words = [f"search.{name}={row[name]}" for name in names]
        assert command("evaluate", model, *pair, *words, "output=e.json").code == 0
        assert json.loads((here / "e.json").read_text())["bleu"] == row["bleu"]
    words = results["words"].split()
    assert command("evaluate", model, *pair, *words, "output=e.json").code == 0
    assert json.loads((here / "e.json").read_text())["bleu"] == rows[0]["bleu"]
    assert done.out.splitlines()[-1].endswith(results["words"] or "the run's own search is the best")


def test_the_validation_set_is_the_runs_own(
    command: Command, trained: Trained, model: str, corpus: Corpus, here: Path
) -> None:
    pair = [f"source={corpus.folder}/valid.de", f"reference={corpus.folder}/valid.en"]
    grid = ["grid.beam_size=[2]", "grid.length_penalty=[none]"]
    assert command("tune", model, *grid, "output=own").code == 0
    assert command("tune", model, *grid, *pair, "output=named").code == 0
    own, named = (json.loads((here / name).read_text()) for name in ("own", "named"))
    assert own["rows"] == named["rows"]
    assert own["scores"]["sentences"] == 20


def test_a_validation_set_that_is_not_what_it_was_is_not_used(command: Command, trained: Trained, here: Path) -> None:
    shutil.copytree(trained.run, here / "r")
    report = json.loads((here / "r" / "data.json").read_text(encoding="utf-8"))
    source, reference = report["files"]["valid"]
    fix = "set source=FILE and reference=FILE"
    for files, message in (
        ({}, f"run=r has no validation files: its pairs were held out of the training's; {fix}"),
        ({"gone.de": "0", reference: "0"}, f"gone.de, on which run=r was validated, isn't there; {fix}"),
        ({source: "0" * 64, reference: "0"}, f"{source} has changed since run=r was validated on it; {fix}"),
    ):
        report["files"]["valid"] = files
        (here / "r" / "data.json").write_text(json.dumps(report), encoding="utf-8")
        assert command("tune", "run=r") == Done(1, "", f"error: {message}\n")


def test_an_ensemble_is_tuned_too(command: Command, trained: Trained, here: Path) -> None:
    words = [f"run=['{trained.run}','{trained.run}']", "grid.beam_size=[2]", "grid.length_penalty=[none]", "output=two"]
    assert command("tune", *words).code == 0
    assert command("tune", f"run={trained.run}", *words[1:3], "output=one").code == 0
    two, one = (json.loads((here / name).read_text()) for name in ("two", "one"))
    assert (two["rows"], two["words"]) == (one["rows"], one["words"])


def test_where_it_cannot_write_is_known_first(command: Command, trained: Trained, model: str, here: Path) -> None:
    folder = command("tune", model, "output=.")
    assert folder == Done(1, "", "error: output=. is a folder; name a file in it\n")
    nowhere = command("tune", model, "output=no/where")
    assert nowhere == Done(1, "", "error: output=no/where: there is no folder no; make it, or name another file\n")
    assert list(here.iterdir()) == []
    (here / "s").write_text("ein Hund\n")
    lost = command("tune", model, "source=s", "reference=s", "output=./s")
    assert lost == Done(1, "", "error: output=./s would overwrite s, which is read here; name another file\n")
    source, _ = json.loads((trained.run / "data.json").read_text(encoding="utf-8"))["files"]["valid"]
    before = Path(source).read_bytes()
    lost = command("tune", model, f"output={source}")  # the run's validation set, named by nobody
    assert lost == Done(
        1, "", f"error: output={source} would overwrite {source}, which is read here; name another file\n"
    )
    assert Path(source).read_bytes() == before
