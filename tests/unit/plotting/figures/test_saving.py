"""A figure is written by the ending of its name, the same each time, or not at all."""

import os

import pytest

pytest.importorskip("matplotlib", reason="the extra plot isn't installed")

from matplotlib.figure import Figure

from seq2seq.errors import ConfigError
from seq2seq.plotting.figures.saving import MOST_DOTS, check_name, save


def figure(width=3.0):
    drawn = Figure(figsize=(width, 2.0))
    drawn.subplots().plot([1, 2], [3, 4])
    return drawn


@pytest.mark.parametrize(
    ("name", "begins"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("new/folder/a.pdf", b"%PDF")]
)
def test_the_ending_says_how(tmp_path, name, begins):
    save(figure(), tmp_path / name)
    first = (tmp_path / name).read_bytes()
    assert first.startswith(begins)
    save(figure(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_svg_names_no_font(tmp_path):
    """Letters are outlines: a reader without the fonts sees the same."""
    save(figure(), tmp_path / "a.svg")
    assert "font-family" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("name", ["a.gif", "a", "png", ".png/"])
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"must end in \.png, \.svg or \.pdf"):
        check_name(tmp_path / name)


def test_what_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=r"output=.*file/a\.png can't be written: "):
        save(figure(), tmp_path / "file" / "a.png")
    with pytest.raises(ConfigError, match="is a folder"):
        save(figure(), tmp_path / "folder.png")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_a_large_figure_has_no_more_dots_than_memory_holds(tmp_path):
    image = pytest.importorskip("PIL.Image")
    save(figure(width=200.0), tmp_path / "a.png")
    with image.open(tmp_path / "a.png") as opened:
        assert opened.width == MOST_DOTS
