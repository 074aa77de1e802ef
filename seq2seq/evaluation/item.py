"""One line of translate.py's input: plain text, or an object of JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from seq2seq.errors import DataError
from seq2seq.evaluation.focus import occurrences
from seq2seq.evaluation.source import LARGEST

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
            DataError: not such an object, or a focus that isn't in the text.
        """
        if not line.strip():
            return cls("")
        try:
            content = json.loads(line)
        except ValueError as error:  # an integer of thousands of digits, too
            raise DataError(f"line {number}: not valid JSON ({error}); input_format=text reads plain lines") from error
        if not _is_item(content):
            raise DataError(
                f"line {number}: must be an object such as {EXAMPLE}, of which only text is needed, not {line[:80]}"
            )
        if "strength" in content and "focus" not in content:
            raise DataError(f"line {number}: strength changes nothing without focus, a list of words of the text")
        words = [_one_line(word) for word in content.get("focus", [])]
        item = cls(
            _one_line(content["text"]), _one_line(content.get("prefix", "")), tuple(words), content.get("strength", 1.0)
        )
        item._check_focus(number)
        return item

    def _check_focus(self, number: int) -> None:
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


def _is_item(content: Any) -> bool:
    if not isinstance(content, dict) or "text" not in content or not content.keys() <= set(Item._fields):
        return False
    focus, strength = content.get("focus", []), content.get("strength", 1.0)
    if not isinstance(focus, list) or not isinstance(strength, int | float) or isinstance(strength, bool):
        return False
    return all(isinstance(text, str) for text in (content["text"], content.get("prefix", ""), *focus))


def _one_line(text: str) -> str:
    """A line break inside a JSON string is no line break of ours."""
    return text.replace("\n", " ")
