"""Pieces gathered into words, and attention between pieces as attention between words."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.evaluation.focus import UNSPACED
from seq2seq.evaluation.translation import EOS

BYTE = re.compile("<0x([0-9A-F]{2})>")  # a piece for one byte of a character outside the vocabulary
UNKNOWN = "<unk>"  # which only a tokenizer of whole words gives


class Words(NamedTuple):
    """The words that pieces make: their texts, and for each piece the number of its word."""

    texts: list[str]
    owners: list[int]

    @classmethod
    def of(cls, pieces: Sequence[str], unspaced: bool = False) -> Words:
        """The words between spaces, in order, as `str.split` finds them; spaces at the ends belong to the word beside.

        pieces: `tokens` or `source_tokens` of a translation. A last EOS is a word of its own, and so is each "<unk>".
        unspaced: also part scripts that are written without spaces (Chinese, Japanese, Thai, ...), where two pieces
            meet: the nearest to words that there is in them.
        """
        ended = list(pieces[-1:]) == [EOS]
        texts, owners, before = [""], [], ""
        for piece, text in zip(pieces, readable(pieces[: len(pieces) - ended]), strict=False):
            alone, before = UNKNOWN in (piece, before), piece  # not where the text itself spells it, in pieces
            if texts[-1].strip() and text and (alone or _parted(texts[-1], text, unspaced)):
                texts.append("")
            texts[-1] += text
            owners.append(len(texts) - 1)
        if not texts[-1].strip() and (ended or not owners or len(texts) > 1):  # spaces at the end, or nothing at all
            texts.pop()
            owners = [max(0, min(owner, len(texts) - 1)) for owner in owners]
        if ended:
            texts.append(EOS)
            owners.append(len(texts) - 1)
        return cls([text.strip() for text in texts], owners)


def merged(attention: Tensor, target: Words, source: Words) -> Tensor:
    """Attention (T, S) between pieces as (target words, source words); rows that sum to 1 go on doing so.

    Attention *to* a word is the sum over its pieces, attention *from* a word the mean over its pieces: Clark et al.
    2019, "What Does BERT Look At?", section 4.1.
    """
    device = attention.device
    columns = torch.tensor(source.owners, device=device)
    rows = torch.tensor(target.owners, device=device)
    to_words = attention.new_zeros(len(rows), len(source.texts)).index_add_(1, columns, attention)
    sums = attention.new_zeros(len(target.texts), len(source.texts)).index_add_(0, rows, to_words)
    sizes = torch.bincount(rows, minlength=len(target.texts))
    return sums / sizes.unsqueeze(1)


def readable(pieces: Sequence[str]) -> list[str]:
    """The text of each piece, spaces as spaces; of a character's bytes, all with the first and "" with the others."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    texts: list[str] = []
    first: int | None = None  # the piece that a character in several bytes began with
    for piece in pieces:
        byte = BYTE.fullmatch(piece)
        if byte is None:
            if first is not None:  # a character that was broken off
                texts[first] += decoder.decode(b"", final=True)
                decoder.reset()
                first = None
            texts.append(piece.replace("\u2581", " "))
            continue
        texts.append("")
        first = len(texts) - 1 if first is None else first
        if text := decoder.decode(bytes.fromhex(byte[1])):
            texts[first] += text
            first = None if decoder.getstate()[0] == b"" else len(texts) - 1
    if first is not None:
        texts[first] += decoder.decode(b"", final=True)
    return texts


def _parted(before: str, after: str, unspaced: bool) -> bool:
    """Whether a word ends between these texts."""
    sides = before[-1], after[0]
    return any(map(str.isspace, sides)) or (unspaced and any(map(UNSPACED.match, sides)))
