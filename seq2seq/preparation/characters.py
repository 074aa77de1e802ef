"""Characters that don't belong into sentences, and scripts that don't belong to the language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any

from seq2seq.preparation.places import Numbering, Places

INVISIBLE = {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}  # control, format, private use, unassigned, line and paragraph breaks
ALIKE = {"LATIN", "GREEK", "CYRILLIC"}  # scripts whose letters are taken for each other's
WORD = re.compile(r"\w+")


class _Scripts(dict[str, str]):
    """A character's script by its name in Unicode, "" where it is no letter; looked up once."""

    def __missing__(self, character: str) -> str:
        name = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
        first = name.partition(" ")[0]
        script = ""
        if first in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL"):
            script = "HANGUL" if first == "HANGUL" else "CJK"
        elif " LETTER " in name and first not in ("MODIFIER", "MATHEMATICAL"):
            script = first
        self[character] = script
        return script


SCRIPTS = _Scripts()


class Characters:
    """One side's characters: invisible ones and U+FFFD, each line's script, and words in two scripts that look alike.

    A script says something of the language only where the two differ in it: German among English isn't found.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: dict[str, bool] = {}  # whether a character is unusual
        self._unusual: dict[str, Places] = {}
        self._scripts: dict[str, Places] = {}  # of lines, by the script of most of their letters
        self._mixed = Places(most)

    def add(self, lines: list[str], first: int) -> None:
        """Some lines, of which the first belongs to pair number `first`."""
        unusual = [character for character in set().union(*lines) if self._is_unusual(character)]
        search = re.compile(f"[{re.escape(''.join(unusual))}]").findall if unusual else None
        for pair, line in enumerate(lines, start=first):
            if search is not None:
                for character in set(search(line)):
                    self._unusual.setdefault(character, Places(self.most)).add(pair)
            self._add_script(line, pair)

    def report(self, numbering: Numbering, side: int) -> dict[str, Any]:
        usual = max(self._scripts, key=lambda script: self._scripts[script].count, default="")
        return {
            "script": usual,
            "other_scripts": {
                script: numbering.report(places, side) for script, places in self._scripts.items() if script != usual
            },
            "mixed_words": numbering.report(self._mixed, side),
            "unusual": {
                _spelled(character): numbering.report(self._unusual[character], side)
                for character in sorted(self._unusual)
            },
        }

    def _add_script(self, line: str, pair: int) -> None:
        scripts = {SCRIPTS[character] for character in set(line)} - {""}
        if not scripts:
            return
        main = scripts.pop() if len(scripts) == 1 else ""
        if not main:
            letters = Counter(SCRIPTS[character] for character in line)
            main = max(scripts, key=lambda script: (letters[script], script))
            if len(scripts & ALIKE) > 1 and any(_alike(word) for word in WORD.findall(line)):
                self._mixed.add(pair)
        self._scripts.setdefault(main, Places(self.most)).add(pair)

    def _is_unusual(self, character: str) -> bool:
        if character not in self._known:
            category = unicodedata.category(character)
            strange_space = category == "Zs" and character not in " \u3000"
            self._known[character] = category in INVISIBLE or strange_space or character == "\ufffd"
        return self._known[character]


def _alike(word: str) -> bool:
    return len({SCRIPTS[character] for character in word} & ALIKE) > 1


def _spelled(character: str) -> str:
    """U+00AD SOFT HYPHEN; Unicode has no names for control characters."""
    nameless = "TAB" if character == "\t" else "control character"
    return f"U+{ord(character):04X} {unicodedata.name(character, nameless)}"
