"""A line as the model reads it: cut into pieces, cut to length, and what is added to its attention scores."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.errors import DataError
from seq2seq.text.tokenizer import Tokenizer

LOGGER = logging.getLogger("seq2seq")
LARGEST = torch.finfo(torch.float32).max
LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # where one reader or another begins a new line
ONE_LINE = str.maketrans(dict.fromkeys(LINE_BREAKS, " "))
LIMITS = {  # the options that limit what a model can take
    "source": "attention.max_source_length or encoder.max_length",
    "target": "decoder.max_length",
    "prefix": "decoder.max_length",
}


class Source(NamedTuple):
    """A line to translate; `number` names it in messages."""

    number: int
    line: str
    ids: list[int]  # without EOS
    bias: list[float]  # added to the attention scores of ids and EOS; [] where nothing is
    prefix: list[int]  # the ids that its translation must begin with

    @classmethod
    def read(
        cls,
        number: int,
        line: str,
        bias: Sequence[float] | None,
        tokenizer: Tokenizer,
        longest: int,
        reason: str,
        remarks: Sequence[str] = (),
    ) -> Source:
        """Cut to `longest` pieces, with a warning that gives the reason, and its bias with it; no prefix yet.

        `remarks` are what befell the line before; all that is to be said of it comes in one warning.

        Raises:
            DataError: a bias of another length than the line, or with numbers that can't be added to a score.
        """
        ids = tokenizer.encode(line)
        if len(ids) > longest:
            cut = f"cut from {len(ids):,} to {longest:,} tokens ({reason})"
            remarks = [*remarks, cut]
        warn(number, remarks)
        numbers = [] if bias is None else _complete(bias, len(ids), number)
        if len(ids) > longest:
            ids, numbers = ids[:longest], [*numbers[:longest], *numbers[-1:]]
        return cls(number, line, ids, numbers, [])

    def check_prefix(self, longest: int | None) -> None:
        """DataError where it is too long for a model that writes at most so many pieces, EOS counted."""
        check_pieces(f"line {self.number}", "prefix", len(self.prefix), longest, "shorten the prefix")

    @property
    def spoken(self) -> bool:
        """Whether there is anything to translate."""
        return not is_blank(self.line)


def is_blank(line: str) -> bool:
    """Whether no character of the line is to be seen.

    Those are spaces and line breaks of all kinds, control characters (Unicode's category Cc, NUL among them), and
    format characters (Cf): zero-width spaces and joiners, marks of direction, byte order marks, soft hyphens.
    """
    return all(character.isspace() or unicodedata.category(character) in ("Cc", "Cf") for character in line)


def one_line(text: str) -> str:
    """The text with a space for each character that any reader takes for the end of a line."""
    return text.translate(ONE_LINE)


def warn(number: int, remarks: Sequence[str]) -> None:
    """What befell a line, in one warning; none where nothing did."""
    if remarks:
        LOGGER.warning("line %d: %s", number, "; ".join(remarks))


def check_pieces(where: str, side: str, pieces: int, longest: int | None, fix: str) -> None:
    """DataError where these pieces and EOS are more than a model takes; longest None: it takes any number."""
    if longest is not None and pieces + 1 > longest:
        raise DataError(
            f"{where}: {pieces + 1:,} {side} pieces with the end of sentence, but this model takes at most "
            f"{longest:,} (by its {LIMITS[side]}): {fix}"
        )


def padded_bias(sources: Sequence[Source]) -> Tensor | None:
    """What is added to the attention scores of a batch, (B, S) with S the longest source and EOS; None for nothing."""
    if not any(any(source.bias) for source in sources):
        return None
    longest = max(len(source.ids) + 1 for source in sources)
    return torch.tensor([source.bias + [0.0] * (longest - len(source.bias)) for source in sources])


def _complete(bias: Sequence[float], pieces: int, number: int) -> list[float]:
    """The numbers of all pieces and of EOS, or [] for none."""
    if len(bias) == 0:
        return []
    if len(bias) not in (pieces, pieces + 1):
        raise DataError(
            f"line {number}: attention_bias has {len(bias):,} numbers for a line of {pieces:,} source pieces; give one "
            "for each of translate(...)[i].source_tokens, before any cut (the last, for </s>, may be left out)"
        )
    for place, value in enumerate(bias, start=1):
        if not abs(value) <= LARGEST:
            raise DataError(
                f"line {number}: number {place} of attention_bias is {value}, and only finite numbers can be added to "
                "a score; a large negative one such as -100 turns attention away"
            )
    return [*(float(value) for value in bias), *([0.0] if len(bias) == pieces else [])]
