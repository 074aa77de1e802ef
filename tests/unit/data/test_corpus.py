"""Encoded pairs: which remain, in which tensors, in memory and mapped from files."""

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seq2seq.data import corpus as module
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.encode import EncodedPairs
from seq2seq.data.store import CorpusFiles
from seq2seq.data.text import ParallelText
from seq2seq.errors import CheckpointError
from seq2seq.text.pair import TokenizerPair

TENSORS = ("source", "source_offsets", "source_lengths", "target", "target_offsets", "target_lengths")


def text_of(*pairs: tuple[str, str]) -> ParallelText:
    return ParallelText("train", [source for source, _ in pairs], [target for _, target in pairs], ())


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    options = {"model_type": "char", "vocab_size": "auto", "character_coverage": 1.0}
    return TokenizerPair.train(["abc def"], ["uvw xyz"], shared=False, **options)


def test_encoding_keeps_order_ids_and_lengths(tokenizers: TokenizerPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENCODED_AT_ONCE", 2)
    text = text_of(("abc", "uv"), ("", "x"), ("d e f", ""), ("a", "uvw xyz"), ("ü", "y"))
    corpus = EncodedCorpus.encode(text, tokenizers)
    assert len(corpus) == 5
    for i in range(5):
        source, target = corpus.pair(i)
        assert source.tolist() == tokenizers.source.encode(text.source[i])
        assert target.tolist() == tokenizers.target.encode(text.target[i])
    assert corpus.source.dtype == corpus.target.dtype == corpus.source_lengths.dtype == torch.int32
    assert corpus.source_offsets.dtype == corpus.target_offsets.dtype == torch.int64
    assert corpus.source_lengths.tolist() == [4, 0, 6, 2, 3]  # characters, the space in front, and ü as two bytes
    assert corpus.target_lengths.tolist() == [3, 2, 0, 8, 2]


# --- files


def part(*pairs: tuple[list[int], list[int]]) -> EncodedPairs:
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    flat = [array("i", [piece for line in side for piece in line]) for side in (sources, targets)]
    lengths = [array("i", map(len, side)) for side in (sources, targets)]
    return EncodedPairs(flat[0], lengths[0], flat[1], lengths[1], 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pairs, of 6 source and 4 target pieces."""
    with CorpusFiles(tmp_path) as files:
        files.append(part(([5, 6, 7], [8]), ([], [9, 10])))
        files.append(part())
        files.append(part(([11], []), ([12, 13], [14])))
    assert files.size == sum(path.stat().st_size for path in tmp_path.iterdir()) == 4 * (6 + 4) + 8 * (5 + 5)
    return tmp_path


@pytest.mark.parametrize("at_once", [2, 100])
def test_what_was_written_is_mapped(folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "CHECKED_AT_ONCE", at_once)
    corpus = EncodedCorpus.map(folder, 4, 6, 4)
    pairs = [tuple(side.tolist() for side in corpus.pair(i)) for i in range(len(corpus))]
    assert pairs == [([5, 6, 7], [8]), ([], [9, 10]), ([11], []), ([12, 13], [14])]
    assert corpus.source_offsets.tolist() == [0, 3, 3, 4, 6]
    assert corpus.source_lengths.tolist() == [3, 0, 1, 2]
    assert corpus.target_lengths.tolist() == [1, 2, 0, 1]
    dtypes = [getattr(corpus, name).dtype for name in TENSORS]
    assert dtypes == [torch.int32, torch.int64, torch.int32] * 2


def test_a_side_without_pieces_is_mapped(tmp_path: Path) -> None:
    with CorpusFiles(tmp_path) as files:
        files.append(part(([4], [])))
    assert [side.tolist() for side in EncodedCorpus.map(tmp_path, 1, 1, 0).pair(0)] == [[4], []]


def test_writing_to_the_tensors_leaves_the_files_alone(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    corpus = EncodedCorpus.map(folder, 4, 6, 4)
    corpus.source[0] = 99
    assert EncodedCorpus.map(folder, 4, 6, 4).source[0] == 5
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def numbers(*values: int) -> bytes:
    return array("q", values).tobytes()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("source.ids", lambda content: content[:-1], "source.ids has 23 bytes, not 24"),
        ("target.ids", lambda content: content + b"\0" * 4, "target.ids has 20 bytes, not 16"),
        ("target.ids", None, "target.ids can't be read: No such file or directory"),
        ("source.offsets", lambda _: numbers(0, 3, 3, 4), "source.offsets has 32 bytes, not 40"),
        ("source.offsets", lambda _: numbers(1, 3, 3, 4, 6), "source.offsets doesn't cut source.ids into pairs"),
        ("source.offsets", lambda _: numbers(0, 3, 3, 4, 7), "source.offsets doesn't cut source.ids into pairs"),
        ("target.offsets", lambda _: numbers(0, 3, 1, 3, 4), "target.offsets doesn't cut target.ids into pairs"),
        ("target.offsets", lambda _: numbers(0, 9, 3, 3, 4), "target.offsets doesn't cut target.ids into pairs"),
        (
            "target.offsets",
            lambda _: numbers(0, 2**40, 2**40 + 1, 3, 4),
            "target.offsets doesn't cut target.ids into pairs",
        ),
    ],
)
def test_damage_is_found(folder: Path, name: str, damage: Callable[[bytes], bytes] | None, message: str) -> None:
    path = folder / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError) as raised:
        EncodedCorpus.map(folder, 4, 6, 4)
    assert str(raised.value) == f"{folder}/{message}"
