"""One line of translate.py's input: its bytes, and the plain text or object of JSON that they spell."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, TextIO

from seq2seq.data.lines import BOM
from seq2seq.errors import DataError
from seq2seq.evaluation.focus import occurrences
from seq2seq.evaluation.source import LARGEST, is_blank
from seq2seq.schema import did_you_mean

# Bytes of a line that are read; the rest is skipped. Far more than search.max_source_length keeps of any text, and so
# little that a line takes less than a second to cut into pieces, and no more than some megabytes of memory.
LONGEST_LINE = 1 << 20
LONGEST_PREFIX = 10_000  # characters: each is a step of the search or more, which no max_length cuts short
FAULTS_SHOWN = 10
SHOWN = 80  # characters of a stranger's word in a message
EXAMPLE = '{"text": "...", "prefix": "...", "focus": ["..."], "strength": 1.0}'


class Line(NamedTuple):
    """The bytes of a line without its end, and whether these are all."""

    number: int
    content: bytes
    whole: bool = True

    @classmethod
    def read(cls, source: BinaryIO, prompt: TextIO | None = None) -> Iterator[Line]:
        """The lines that "\\n" ends, or the end of the input, each as soon as it is there: waits for no more.

        Without "\\r" at its end, and without a byte order mark at the beginning of the first. `prompt` is where to ask
        for each.
        """
        number = 0
        while True:
            if prompt is not None:
                prompt.write("> ")
                prompt.flush()
            read = rest = source.readline(LONGEST_LINE + 2)  # its end may take two; iteration would wait for more
            if not read:
                return
            number += 1
            while len(rest) >= LONGEST_LINE and not rest.endswith(b"\n"):
                rest = source.readline(LONGEST_LINE)
            line = read.removesuffix(b"\n").removesuffix(b"\r")
            content = line[:LONGEST_LINE]
            if number == 1:
                content = content.removeprefix(BOM)
            yield cls(number, content, len(line) <= LONGEST_LINE)

    def decode(self) -> tuple[str, list[str]]:
        """The text, and what is to be said of it: what isn't UTF-8 becomes U+FFFD, a long line is cut."""
        remarks = [] if self.whole else [f"longer than {LONGEST_LINE:,} bytes, of which no more are read"]
        try:
            return codecs.utf_8_decode(self.content, "strict", self.whole)[0], remarks  # never cut inside a character
        except UnicodeDecodeError as error:
            byte = self.content[error.start]
            remarks.append(f"not valid UTF-8 (byte 0x{byte:02X}); U+FFFD put in its place")
            return codecs.utf_8_decode(self.content, "replace", self.whole)[0], remarks


class Item(NamedTuple):
    """A text to translate and what is asked of its translation."""

    text: str
    prefix: str = ""  # what the translation must begin with
    focus: tuple[str, ...] = ()  # words of the text that it is to attend to more
    strength: float = 1.0  # added to the attention scores of their pieces

    @classmethod
    def from_line(cls, line: Line, text: str) -> Item:
        """The item that a line of JSON gives, decoded as `text`; DataError as `from_json`, and for a line too long."""
        if not line.whole:
            raise DataError(
                f"line {line.number}: longer than {LONGEST_LINE:,} bytes, the most that is read of a line, so that it "
                "isn't a whole object; shorten it"
            )
        return cls.from_json(text, line.number)

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
            shown = [f"line {number}: {fault}" for fault in faults[:FAULTS_SHOWN]]
            more = len(faults) - len(shown)
            raise DataError("\n".join([*shown, *([f"line {number}: and {more:,} faults more"] if more else [])]))
        words = [_one_line(word) for word in content.get("focus", [])]
        item = cls(
            _one_line(content["text"]), _one_line(content.get("prefix", "")), tuple(words), content.get("strength", 1.0)
        )
        item._check(number)
        return item

    def _check(self, number: int) -> None:
        if not is_blank(self.prefix) and is_blank(self.text):
            raise DataError(
                f"line {number}: a prefix needs a text, for the translation of a blank text is blank; give a text, or "
                "leave the prefix out"
            )
        if len(self.prefix) > LONGEST_PREFIX:
            raise DataError(
                f"line {number}: prefix has {len(self.prefix):,} characters, and at most {LONGEST_PREFIX:,} are "
                "allowed; shorten it"
            )
        if not abs(self.strength) <= LARGEST:
            raise DataError(f"line {number}: strength must be a finite number such as 2.0 or -2.0, not {self.strength}")
        for word in self.focus:
            if not word.strip():
                raise DataError(f"line {number}: focus has an empty word; leave it out")
            if not occurrences(self.text, word):
                raise DataError(
                    f'line {number}: the focus "{_shown(word)}" is not in the text as a whole word; spell it as it '
                    "stands there (case counts), or leave it out"
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


def _shown(word: str) -> str:
    """A stranger's word as a message can show it: not all of a long one, and nothing that moves the cursor."""
    start = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in word[:SHOWN])
    return start if len(word) <= SHOWN else f"{start}..."


def _one_line(text: str) -> str:
    """A line break inside a JSON string is no line break of ours."""
    return text.replace("\n", " ")
