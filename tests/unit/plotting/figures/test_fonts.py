"""Fonts are found for what a text has, and what none has is told once."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the extra plot isn't installed")

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from seq2seq.plotting.figures import fonts


@pytest.fixture(autouse=True)
def _heard(monkeypatch):
    monkeypatch.setattr(fonts.LOGGER, "propagate", True)


@pytest.fixture
def only_dejavu(monkeypatch):
    """A machine with no other font than matplotlib's own first one, and what is added."""
    manager = font_manager.fontManager
    first = [entry for entry in manager.ttflist if entry.name == fonts.FIRST]
    monkeypatch.setattr(manager, "ttflist", list(first))
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    monkeypatch.setattr(fonts, "_REFUSED", set())
    return manager


def test_the_first_font_is_enough_for_what_it_has(only_dejavu, caplog):
    assert fonts.families("Zwei Männer, Οδυσσέας, Москва, שלום, سلام ▁</s>\t\u200d") == ["DejaVu Sans"]
    assert caplog.messages == []


def test_what_no_font_has_is_told_in_one_line(only_dejavu, caplog):
    assert fonts.families("我喜欢 Jazz ") == ["DejaVu Sans"]
    assert caplog.messages == [
        "no installed font has 喜我欢: boxes stand for it; on Debian and Ubuntu: apt install fonts-noto-cjk"
    ]


@pytest.mark.parametrize(
    ("character", "package"),
    [("漢", "fonts-noto-cjk"), ("の", "fonts-noto-cjk"), ("한", "fonts-noto-cjk"), ("𠮷", "fonts-noto-cjk"),
     ("🫠", "fonts-symbola"), ("क", "fonts-noto-core"), ("ᠮ", "fonts-noto-core")],
)  # fmt: skip
def test_the_package_that_has_a_character(character, package):
    assert fonts.packages(character) == [package]


def test_another_font_is_found_by_what_it_has(only_dejavu, monkeypatch, tmp_path):
    """One that was installed after matplotlib made its list: here, its own mathematical font under a new name."""
    source = Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf")
    missing = sorted(set(map(chr, FT2Font(source).get_charmap())) - fonts._characters(fonts._path(fonts.FIRST)))[-1]
    new, damaged = tmp_path / "new.ttf", tmp_path / "damaged.ttf"
    shutil.copy(source, new)
    damaged.write_bytes(b"no font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(damaged), str(new)])
    assert fonts.families(f"a{missing}") == ["DejaVu Sans", "STIXGeneral"]


def test_a_font_of_bitmaps_or_boxes_is_none():
    assert [font.family for font in fonts._known() if font.family.startswith("Last Resort")] == []
    assert fonts.NO_FONTS.match("Noto Color Emoji")
    assert fonts.NO_FONTS.match("Apple Color Emoji")


def test_the_upright_font_of_normal_weight_is_looked_at():
    paths = {font.family: font.path for font in fonts._known()}
    assert paths["DejaVu Sans"].endswith("DejaVuSans.ttf")
