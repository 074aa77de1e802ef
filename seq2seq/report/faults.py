"""What goes wrong in translations of a kind that BLEU doesn't name: words said again, and words left out.

Each count is the same with the sides exchanged, so that a reference can be measured against its hypothesis: what
references have too is no fault of the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

LONGEST = 10  # words of a sequence that is looked for twice
SHORT = 0.7  # of the length that was to be expected
UNSEEN = 0.2  # attention in all, where 1 is that of one word
NEIGHBOURS = 2  # unseen words in a row


def repetitions(said: Sequence[str], other: Sequence[str], source: Sequence[str]) -> list[str]:
    """Sequences of 2 to LONGEST words that `said` has twice or more, and more often than two things explain.

    These are: how often `other`, another translation, has it; and how often `source` repeats any sequence of that
    length. A single word counts where it stands twice in a row. Sequences inside a longer one found are left out.
    """
    found: list[tuple[str, ...]] = []
    for length in range(LONGEST, 0, -1):
        counts, in_other = _counts(said, length), _counts(other, length)
        explained = max(_counts(source, length).values(), default=0)
        least = 1 if length > 1 else 0  # of doubled words, one is one too many
        for sequence, count in counts.items():
            if count > max(least, in_other[sequence], explained) and not any(_within(sequence, f) for f in found):
                found.append(sequence)
    return [" ".join(sequence * 2 if len(sequence) == 1 else sequence) for sequence in found]


def is_short(words: int, others: int, expected: float) -> bool:
    """Whether a translation has less than SHORT of the words of another one, and of what its source lets expect."""
    return words < SHORT * min(others, expected)


def unseen(seen: Iterable[float], words: Iterable[str]) -> list[int]:
    """Source words that got less than UNSEEN attention in all, NEIGHBOURS or more of them in a row.

    seen: for each word, the sum of what all target words gave it. Punctuation neither counts nor parts.
    """
    low: list[list[int]] = [[]]
    for i, (weight, word) in enumerate(zip(seen, words, strict=False)):
        if not any(map(str.isalnum, word)):
            continue
        if weight < UNSEEN:
            low[-1].append(i)
        elif low[-1]:
            low.append([])
    return [i for run in low if len(run) >= NEIGHBOURS for i in run]


def _counts(words: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of words stands there; a single one, how often it follows itself."""
    if length == 1:
        return Counter((word,) for word, following in pairwise(words) if word == following)
    return Counter(zip(*(words[i:] for i in range(length)), strict=False))


def _within(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))
