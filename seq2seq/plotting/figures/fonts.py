"""Which installed fonts write a text, whatever its scripts."""

from __future__ import annotations

import contextlib
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

LOGGER = logging.getLogger("seq2seq")
FIRST = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew, Armenian, Georgian, symbols
PREFERRED = (  # families by what they write, the most legible first; a name stands for all that begin with it
    *("Noto Sans CJK", "Source Han Sans", "Noto Serif CJK", "PingFang", "Hiragino", "Microsoft YaHei", "Yu Gothic"),
    *("WenQuanYi", "Droid Sans Fallback", "Arial Unicode", "Noto Sans", "Noto Emoji", "Segoe UI", "Noto", "Symbola"),
)
NO_FONTS = re.compile("Last Resort|.*Color ?Emoji")  # boxes for all characters; bitmaps, which matplotlib can't draw
PACKAGES = (  # what draws the rest, by its characters, as Debian's and Ubuntu's packages
    (re.compile("[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"),
     "fonts-noto-cjk"),
    (re.compile("[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]"), "fonts-symbola"),
    (re.compile("."), "fonts-noto-core"),
)  # fmt: skip


class Font(NamedTuple):
    """An installed font; of a family, the upright one of normal weight."""

    family: str
    path: str


def families(text: str) -> list[str]:
    """The font families that write this text: for each character, matplotlib takes the first that has it.

    Of what no installed font has, one warning tells, with a package that has it; boxes stand for it.
    """
    missing = _visible(text) - _characters(_path(FIRST))
    found = [FIRST]
    for font in _fonts():
        if not missing:
            break
        covered = missing & _characters(font.path)
        if covered:
            found.append(font.family)
            missing -= covered
    if missing:
        shown = "".join(sorted(missing)[:10])
        LOGGER.warning(
            "no installed font has %s%s: boxes stand for it; on Debian and Ubuntu: apt install %s",
            shown, " …" if len(missing) > 10 else "", " ".join(packages(missing)),
        )  # fmt: skip
    return found


def packages(characters: Iterable[str]) -> list[str]:
    """Packages whose fonts have these characters."""
    return sorted({next(name for pattern, name in PACKAGES if pattern.match(character)) for character in characters})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without matplotlib's own warnings of characters that it has no font for: `families` has told."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _visible(text: str) -> set[str]:
    """The characters that a font must have: not spaces, controls and format characters, nor variation selectors."""
    return {
        character
        for character in text
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")
        and not "\ufe00" <= character <= "\ufe0f"
    }


def _fonts() -> Iterator[Font]:
    """All installed fonts, the preferred first; after those that matplotlib has on its list, newly installed ones."""
    yield from _known()
    listed = {entry.fname for entry in font_manager.fontManager.ttflist}
    new = sorted(set(font_manager.findSystemFonts()) - listed - _REFUSED)
    for path in new:
        try:
            font_manager.fontManager.addfont(path)
        except Exception:  # bitmaps alone, or a damaged file: matplotlib raises what FreeType does
            _REFUSED.add(path)
    if len(new) > len(_REFUSED & set(new)):
        yield from _known()


def _known() -> list[Font]:
    """Those on matplotlib's list, one of each family."""
    upright: dict[str, tuple[int, str]] = {}
    for entry in font_manager.fontManager.ttflist:
        if NO_FONTS.match(entry.name):
            continue
        weight = entry.weight if isinstance(entry.weight, int) else font_manager.weight_dict.get(entry.weight, 400)
        fault = abs(int(weight) - 400) + 1000 * (entry.style != "normal") + 100 * (entry.stretch not in ("normal", 400))
        upright[entry.name] = min(upright.get(entry.name, (fault, entry.fname)), (fault, entry.fname))
    return [Font(family, path) for family, (_, path) in sorted(upright.items(), key=lambda item: _rank(item[0]))]


def _rank(family: str) -> tuple[int, str]:
    places = (place for place, name in enumerate(PREFERRED) if family.startswith(name))
    return next(places, len(PREFERRED)), family


def _path(family: str) -> str:
    return str(font_manager.findfont(family))


@lru_cache(maxsize=1024)
def _characters(path: str) -> frozenset[str]:
    """All that the font has; none where its file is gone or can't be read."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


_REFUSED: set[str] = set()  # fonts that matplotlib can't use
