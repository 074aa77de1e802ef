"""One line of translate.py's input: plain text, or an object of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from seq2seq.errors import DataError
from seq2seq.evaluation.focus import occurrences
from seq2seq.evaluation.source import LARGEST
from seq2seq.schema import did_you_mean

EXAMPLE = '{"text": "...", "prefix": "...", "focus": ["..."], "strength": 1.0}'


class Item(NamedTuple):
    """A text to translate and what is asked of its translation."""

    text: str
    prefix: str = ""  # what the translation must begin with
    focus: tuple[str, ...] = ()  # words of the text that it is to attend to more
    strength: float = 1.0  # added to the attention scores of their pieces

    @classmethod
    def from_json(cls, line: str, number: int) -> Item:
        """An object with "text" and, if wanted, the other fields; a blank line is a blank text.

        Raises:
            DataError: not such an object, a focus that isn't in the text, or a prefix of a blank text, whose
                translation is blank.
        """
        if not line.strip():
            return cls("")
        content = _parsed(line, number)
        if faults := _faults(content):
            raise DataError("\n".join(f"line {number}: {fault}" for fault in faults))
        words = [_one_line(word) for word in content.get("focus", [])]
        item = cls(
            _one_line(content["text"]), _one_line(content.get("prefix", "")), tuple(words), content.get("strength", 1.0)
        )
        item._check(number)
        return item

    def _check(self, number: int) -> None:
        if self.prefix.strip() and not self.text.strip():
            raise DataError(
                f"line {number}: a prefix needs a text, for the translation of a blank text is blank; give a text, or "
                "leave the prefix out"
            )
        if not abs(self.strength) <= LARGEST:
            raise DataError(f"line {number}: strength must be a finite number such as 2.0 or -2.0, not {self.strength}")
        for word in self.focus:
            if not word.strip():
                raise DataError(f"line {number}: focus has an empty word; leave it out")
            if not occurrences(self.text, word):
                raise DataError(
                    f'line {number}: the focus "{word}" is not in the text as a whole word; spell it as it stands '
                    "there (case counts), or leave it out"
                )


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:  # some messages end in "at", for json's own "at: line 1 column 5"
        reason = f"{error.msg.removesuffix(' at')} at column {error.colno}"
    except ValueError:
        reason = "a number has too many digits"
    except RecursionError:
        reason = "too many lists or objects inside each other"
    raise DataError(f"line {number}: not valid JSON ({reason}); input_format=text reads plain lines")


def _faults(content: Any) -> list[str]:
    """What is wrong with the fields one by one."""
    if not isinstance(content, dict):
        return [f"must be an object such as {EXAMPLE}, of which only text is needed"]
    faults = [f"unknown key {key[:80]!r}{did_you_mean(key, FIELDS)}" for key in content if key not in FIELDS]
    if "text" not in content:
        faults.append("text is missing: the line to translate")
    faults += [
        f"{name} must be {words}"
        for name, (fits, words) in FIELDS.items()
        if name in content and not fits(content[name])
    ]
    if "strength" in content and "focus" not in content:
        faults.append("strength changes nothing without focus, a list of words of the text")
    return faults


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {  # what each must be, and that in words
    "text": (_is_text, 'a string, such as "Das Buch ist alt."'),
    "prefix": (_is_text, 'a string, such as "The book"'),
    "focus": (_is_words, 'a list of words, such as ["Buch"]'),
    "strength": (_is_number, "a number, such as 2.0 or -2.0"),
}


def _one_line(text: str) -> str:
    """A line break inside a JSON string is no line break of ours."""
    return text.replace("\n", " ")
