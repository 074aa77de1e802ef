"""The file of a SentencePiece model, looked through before the library, which follows what it says, gets to see it.

A model may hold tables of replacements ("charsmaps") for text that comes in and goes out; ours hold none. A table can
write as much for a character as it likes: a file of 300 kB has turned a line of 300 kB into gigabytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from seq2seq.errors import CheckpointError

LARGEST_MODEL = 64 * 2**20  # bytes; a million pieces take a third of it
LONGEST_REPLACEMENT = 256  # bytes; Unicode's own longest, for a character, is 33
NORMALIZER, DENORMALIZER, CHARSMAP = 3, 5, 2  # fields of a ModelProto, and of each of these two
TRAINER, MODEL_TYPE = 2, 3  # a field of a ModelProto, and of that
KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
LONGEST_VARINT = 10


def read_model(path: Path) -> bytes:
    """The bytes of a model that does no harm.

    Raises:
        OSError: it can't be read.
        ValueError: it is no message of protocol buffers.
        CheckpointError: it is too large, or no file, or its tables of replacements are not to be used.
    """
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise CheckpointError(f"{path}: not a file, and so no SentencePiece model")
    if found.st_size > LARGEST_MODEL:
        raise CheckpointError(f"{path}: larger than {LARGEST_MODEL // 2**20} MiB, and so no SentencePiece model")
    model = path.read_bytes()
    for number, value in _fields(model):
        if number == TRAINER:
            _kinds(value)
        if number in (NORMALIZER, DENORMALIZER):
            for inner, table in _fields(value):
                if inner == CHARSMAP and table:
                    _check(number, table, path)
    return model


def model_kind(model: bytes) -> str:
    """What kind of model this is: unigram, bpe, word or char."""
    found = [kind for number, options in _fields(model) if number == TRAINER for kind in _kinds(options)]
    return found[-1] if found else KINDS[1]  # which SentencePiece takes it for, too


def _kinds(options: bytes) -> list[str]:
    """What options of the training say; ValueError where they can't be read."""
    return [
        KINDS.get(int.from_bytes(value[:1]), "unknown") for number, value in _fields(options) if number == MODEL_TYPE
    ]


def _check(number: int, table: bytes, path: Path) -> None:
    """A charsmap: the size of a trie in four bytes, the trie, and the replacements, each with a NUL behind it."""
    if number == DENORMALIZER:
        raise CheckpointError(
            f"{path}: this SentencePiece model changes text after decoding, which isn't supported; train it without "
            "denormalization_rule_tsv"
        )
    replacements = table[4 + int.from_bytes(table[:4], "little") :].split(b"\0")
    if max(map(len, replacements)) > LONGEST_REPLACEMENT:
        raise CheckpointError(
            f"{path}: the normalization rules of this SentencePiece model write more than {LONGEST_REPLACEMENT} bytes "
            "for a character; use another model"
        )


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers of a message's fields, in order, each with the bytes of its value."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire_type, start = tag >> 3, tag & 7, place
        if wire_type == VARINT:
            _, place = _varint(message, place)
        elif wire_type == LENGTH_DELIMITED:
            size, start = _varint(message, place)
            place = start + size
        elif wire_type in (FIXED32, FIXED64):
            place += 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type} isn't one of ModelProto")
        if place > len(message):
            raise ValueError("the message ends too early")
        yield number, message[start:place]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place after it."""
    value = 0
    for length, byte in enumerate(message[place : place + LONGEST_VARINT], start=1):
        value |= (byte & 0x7F) << (7 * length - 7)
        if byte < 0x80:
            return value, place + length
    raise ValueError("a number doesn't end")
