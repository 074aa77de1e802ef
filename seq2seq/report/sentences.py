"""Sentences taken apart into words, and what differs between two of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from seq2seq.evaluation.focus import UNSPACED

_CHARACTER = re.compile(f"({UNSPACED.pattern})")
_EDGES = re.compile(r"^\W+|\W+$")


def words_of(text: str) -> list[str]:
    """What stands between spaces; in scripts that are written without spaces, every character."""
    return [part for word in text.split() for part in _CHARACTER.split(word) if part]


def bare(words: Sequence[str]) -> list[str]:
    """The words without case and without punctuation around them; what is nothing but punctuation is gone."""
    stripped = (_EDGES.sub("", word.casefold()) for word in words)
    return [word for word in stripped if word]


def differing(words: Sequence[str], others: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Of each side's words, whether they stand outside of what both have in common, in order (difflib's matching)."""
    outside, others_outside = [True] * len(words), [True] * len(others)
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    for start, others_start, size in matcher.get_matching_blocks():
        outside[start : start + size] = [False] * size
        others_outside[others_start : others_start + size] = [False] * size
    return outside, others_outside


def regrouped(marks: Sequence[bool], words: Sequence[str], groups: Sequence[str]) -> list[bool]:
    """Marks of `words` as marks of `groups`, which divide the same text otherwise: marked where any part is."""
    of_characters = [mark for word, mark in zip(words, marks, strict=True) for _ in word]
    grouped, place = [], 0
    for group in groups:
        size = len("".join(group.split()))
        grouped.append(any(of_characters[place : place + size]))
        place += size
    return grouped


def spread(scores: Sequence[float], count: int) -> list[int]:
    """Which `count` sentences show a system best: a quarter the worst, a quarter the best, the others evenly between.

    In order; all of them where there are no more.
    """
    ranked = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    if count >= len(ranked):
        return list(range(len(scores)))
    ends = count // 4
    between = ranked[ends : len(ranked) - ends]
    inner = count - 2 * ends
    evenly = [between[k * len(between) // inner] for k in range(inner)]
    return sorted([*ranked[:ends], *evenly, *ranked[len(ranked) - ends :]])
