"""Batches against plain Python lists."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.batch import Batch, collate, source_batch
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.text.pair import TokenizerPair
from seq2seq.text.tokenizer import Tokenizer

BOS, EOS, PAD = 1, 2, 3
sentence = st.lists(st.integers(4, 300), max_size=12)
pairs = st.lists(st.tuples(sentence, sentence), min_size=1, max_size=8)


def corpus_of(sources: Sequence[list[int]], targets: Sequence[list[int]]) -> EncodedCorpus:
    tensors = []
    for side in (sources, targets):
        tensors.append(torch.tensor([piece for line in side for piece in line], dtype=torch.int32))
        tensors.append(torch.tensor([0, *accumulate(map(len, side))]))
    return EncodedCorpus(*tensors)


def collate_ids(sources: Sequence[list[int]], targets: Sequence[list[int]], tokenizers: TokenizerPair) -> Batch:
    return collate(corpus_of(sources, targets), range(len(sources)), tokenizers)


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    tokenizer = Tokenizer.train(["abc"], model_type="char", vocab_size="auto")
    return TokenizerPair(tokenizer, tokenizer)


def padded(rows: list[list[int]]) -> list[list[int]]:
    longest = max(len(row) for row in rows)
    return [row + [PAD] * (longest - len(row)) for row in rows]


def check(batch: Batch, chosen: list[tuple[list[int], list[int]]]) -> None:
    assert batch.source.tolist() == padded([[*source, EOS] for source, _ in chosen])
    assert batch.source_lengths.tolist() == [len(source) + 1 for source, _ in chosen]
    assert batch.target_input.tolist() == padded([[BOS, *target] for _, target in chosen])
    assert batch.target_output.tolist() == padded([[*target, EOS] for _, target in chosen])
    assert batch.target_lengths.tolist() == [len(target) + 1 for _, target in chosen]
    assert batch.target_mask.tolist() == padded_mask([len(target) + 1 for _, target in chosen])
    assert batch.target_tokens == sum(len(target) + 1 for _, target in chosen)
    assert all(tensor.dtype == torch.int64 for tensor in batch)


def padded_mask(lengths: list[int]) -> list[list[bool]]:
    return [[step < length for step in range(max(lengths))] for length in lengths]


@given(pairs=pairs, data=st.data())
@settings(deadline=None, database=None)
def test_batches_are_the_padded_pairs(
    tokenizers: TokenizerPair, pairs: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    corpus = corpus_of([source for source, _ in pairs], [target for _, target in pairs])
    indices = data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=8))
    check(collate(corpus, indices, tokenizers), [pairs[i] for i in indices])
    for dtype in (torch.int32, torch.int64):
        check(collate(corpus, torch.tensor(indices, dtype=dtype), tokenizers), [pairs[i] for i in indices])


@given(pairs=pairs)
@settings(deadline=None, database=None)
def test_pairs_of_ids_make_the_same_batch(tokenizers: TokenizerPair, pairs: list[tuple[list[int], list[int]]]) -> None:
    check(collate_ids([source for source, _ in pairs], [target for _, target in pairs], tokenizers), pairs)


def test_each_side_has_its_own_specials() -> None:
    class Specials:
        def __init__(self, bos_id: int, eos_id: int, pad_id: int) -> None:
            self.bos_id, self.eos_id, self.pad_id = bos_id, eos_id, pad_id

    pair = TokenizerPair(Specials(91, 92, 93), Specials(81, 82, 83))  # type: ignore[arg-type]
    batch = collate_ids([[5], [6, 7]], [[8, 9], []], pair)
    assert batch.source.tolist() == [[5, 92, 93], [6, 7, 92]]
    assert batch.target_input.tolist() == [[81, 8, 9], [81, 83, 83]]
    assert batch.target_output.tolist() == [[8, 9, 82], [82, 83, 83]]


def test_moving_leaves_lengths_on_the_cpu(tokenizers: TokenizerPair) -> None:
    batch = collate_ids([[5], [6, 7]], [[8, 9], [4]], tokenizers).to("meta")
    assert [tensor.device.type for tensor in batch] == ["meta", "cpu", "meta", "meta", "cpu"]
    assert batch.target_mask.device.type == "meta"
    assert batch.target_tokens == 5


@given(ids=st.lists(sentence, min_size=1, max_size=8))
@settings(deadline=None, database=None)
def test_source_batches_end_each_sentence(ids: list[list[int]]) -> None:
    source, lengths = source_batch(ids, EOS, PAD)
    assert source.tolist() == padded([[*sentence, EOS] for sentence in ids])
    assert lengths.tolist() == [len(sentence) + 1 for sentence in ids]
    assert source.dtype == lengths.dtype == torch.int64
