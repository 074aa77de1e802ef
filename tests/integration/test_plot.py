"""plot.py: curves and attention maps of a small model, from another working directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scripts import SENTENCES, Command, Trained

pytest.importorskip("matplotlib", reason="the extra plot isn't installed")

PNG = b"\x89PNG"


def test_curves_go_into_the_runs_folder(command: Command, trained: Trained, model: str) -> None:
    done = command("plot", model)
    picture = trained.run / "plots" / "curves.png"
    assert (done.code, done.out, done.err) == (0, f"{picture}\n", "")
    assert picture.read_bytes().startswith(PNG)


def test_several_runs_share_their_axes(command: Command, here: Path, trained: Trained) -> None:
    runs = f"run=[{str(trained.run)!r},{str(trained.run)!r}]"
    assert command("plot", runs, "output=pictures/both.svg", "x=minutes").out == "pictures/both.svg\n"
    assert (here / "pictures" / "both.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("units", ["words", "pieces"])
def test_attention_of_a_sentence(command: Command, here: Path, model: str, units: str) -> None:
    words = ["kind=attention", f"text={SENTENCES[0]}", "rank=2", f"units={units}", "output=a.png"]
    done = command("plot", model, *words)
    assert (done.code, done.out) == (0, "a.png\n"), done.err
    assert done.err.splitlines()[1].startswith("* 2: ")
    assert (here / "a.png").read_bytes().startswith(PNG)


def test_attention_of_a_line_of_a_file(command: Command, here: Path, model: str) -> None:
    (here / "x.txt").write_text("".join(f"{line}\n" for line in SENTENCES[:2]), encoding="utf-8")
    words = ["kind=attention", "source=x.txt", "output=a.pdf"]
    assert command("plot", model, *words, "line=2").code == 0
    assert (here / "a.pdf").read_bytes().startswith(b"%PDF")
    assert command("plot", model, *words, "line=3").err == "error: line=3: x.txt has 2 lines\n"


def test_a_blank_line_of_a_file_is_named(command: Command, here: Path, model: str) -> None:
    (here / "x.txt").write_text(f"{SENTENCES[0]}\n \n", encoding="utf-8")
    done = command("plot", model, "kind=attention", "source=x.txt", "line=2", "output=a.png")
    assert done.err.startswith("error: x.txt, line 2, is blank: ")
    assert not (here / "a.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kind=attention", "text=Ein Hund.", "rank=9"], "search.n_best"),
        (["kind=attention", "text=   ", "output=a.png"], "text is blank: a blank line is not translated"),
        (["output=a.gif"], "must end in .png, .svg or .pdf"),
        (["kind=attentoin"], "attention"),
    ],
)
def test_what_cannot_be_drawn_is_told(command: Command, here: Path, model: str, words: list[str], message: str) -> None:
    done = command("plot", model, *words)
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert message in done.err
    assert done.out == ""
    assert list(here.iterdir()) == []
