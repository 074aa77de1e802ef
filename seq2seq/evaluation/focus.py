"""Words of a line that its translation is to look at more, or less: where they stand, and the bias of their pieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate

from seq2seq.text.tokenizer import Tokenizer

# Scripts written without spaces (Thai, Lao, Burmese, Khmer, Kana, Han): any place may be a word's end.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def focus_bias(line: str, words: Sequence[str], strength: float, tokenizer: Tokenizer) -> list[float]:
    """`strength` for each piece of the line that shares a character with one of the words, 0 for all others."""
    covered = bytearray(len(line))
    for word in words:
        for start, end in occurrences(line, word):
            covered[start:end] = b"\1" * (end - start)
    before = list(accumulate(covered, initial=0))  # covered characters before each place
    return [strength if before[end] > before[start] else 0.0 for start, end in tokenizer.spans(line)]


def occurrences(line: str, word: str) -> list[tuple[int, int]]:
    """Where `word`, or a phrase, stands in the line as a whole word: (first, last + 1) characters; case counts."""
    starts = [match.start() for match in re.finditer(f"(?={re.escape(word)})", line)]
    return [(start, start + len(word)) for start in starts if _ends(line, start) and _ends(line, start + len(word))]


def _ends(line: str, place: int) -> bool:
    """Whether a word can begin or end before this character: two that belong to one word don't meet here."""
    if place in (0, len(line)):
        return True
    sides = line[place - 1], line[place]
    return not all(map(_in_word, sides)) or any(map(UNSPACED.match, sides))


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")  # a mark such as an accent
