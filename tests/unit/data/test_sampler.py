"""Each sentence once an epoch, within the budget, in an order that nothing but seed and epoch decides."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq.data.sampler import BatchSampler, sorted_batches
from seq2seq.errors import ConfigError

lengths_of_pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=200)


def random_lengths(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(3, 40, (count,), generator=generator)
    noise = torch.randint(-2, 3, (count,), generator=generator)
    return source, (source + noise).clamp(min=1)


def sampler(source: Tensor, target: Tensor, **options: int) -> BatchSampler:
    every = {"batch_tokens": None, "batch_sentences": None, "seed": 1, **options}
    return BatchSampler(source, target, **every)  # type: ignore[arg-type]


@given(pairs=lengths_of_pairs, budget=st.integers(1, 300), chunk_batches=st.integers(1, 5), epoch=st.integers(0, 9))
@settings(deadline=None, database=None)
def test_token_batches_hold_all_sentences_once_within_the_budget(
    pairs: list[tuple[int, int]], budget: int, chunk_batches: int, epoch: int
) -> None:
    source, target = torch.tensor(pairs).unbind(1)
    batches = sampler(source, target, batch_tokens=budget, chunk_batches=chunk_batches).epoch(epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(len(pairs)))
    for batch in batches:
        longest = max(max(pairs[i]) + 1 for i in batch)
        assert len(batch) * longest <= budget or len(batch) == 1


def test_token_batches_are_as_large_as_the_budget_allows() -> None:
    equal = sampler(torch.full((8,), 9), torch.full((8,), 9), batch_tokens=40).epoch(0)
    assert [len(batch) for batch in equal] == [4, 4]  # 4 rows of 9 pieces and EOS
    # The long source stands alone, and its length is forgotten: three rows of 3 go into the next batch of 10.
    mixed = sampler(torch.tensor([9, 2, 2, 2]), torch.tensor([1, 2, 2, 2]), batch_tokens=10).epoch(0)
    assert sorted(map(sorted, mixed)) == [[0], [1, 2, 3]]


@given(pairs=lengths_of_pairs, size=st.integers(1, 40), chunk_batches=st.integers(1, 5))
@settings(deadline=None, database=None)
def test_sentence_batches_are_full_but_for_one(pairs: list[tuple[int, int]], size: int, chunk_batches: int) -> None:
    source, target = torch.tensor(pairs).unbind(1)
    batches = sampler(source, target, batch_sentences=size, chunk_batches=chunk_batches).epoch(0)
    assert sorted(i for batch in batches for i in batch) == list(range(len(pairs)))
    assert sorted(len(batch) for batch in batches)[1:] == [size] * (len(batches) - 1)
    assert max(len(batch) for batch in batches) <= size


@pytest.mark.parametrize("options", [{"batch_tokens": 500}, {"batch_sentences": 16}])
def test_an_epoch_is_a_function_of_seed_and_number(options: dict[str, int]) -> None:
    source, target = random_lengths(1000)
    first = sampler(source, target, **options).epoch(2)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = sampler(source, target, **options)
    again.epoch(0)
    assert again.epoch(2) == first
    assert torch.equal(torch.get_rng_state(), state)  # neither reads the global generator nor moves it
    assert again.epoch(3) != first
    assert sampler(source, target, **options, seed=2).epoch(2) != first
    # Neighbouring seeds and epochs share no permutation: (seed 1, epoch 2) isn't (seed 2, epoch 1).
    assert sampler(source, target, **options, seed=2).epoch(1) != first


def test_sentences_meet_others_in_every_epoch() -> None:
    source, target = random_lengths(1000)
    one, other = (sampler(source, target, batch_sentences=10, chunk_batches=10).epoch(i) for i in (0, 1))
    assert {frozenset(batch) for batch in one}.isdisjoint(frozenset(batch) for batch in other)


def test_batches_come_neither_short_nor_long_first() -> None:
    source, target = random_lengths(3000)
    batches = sampler(source, target, batch_sentences=10).epoch(0)
    means = torch.tensor([target[torch.tensor(batch)].double().mean() for batch in batches])
    order = torch.arange(len(means), dtype=torch.double)
    assert abs(float(torch.corrcoef(torch.stack([means, order]))[0, 1])) < 0.2


def test_sorting_saves_padding() -> None:
    source, target = random_lengths(4000)
    sorted_chunks = sampler(source, target, batch_sentences=32)
    unsorted = sampler(source, target, batch_sentences=32, chunk_batches=1)
    assert sorted_chunks.padding_efficiency(sorted_chunks.epoch(0)) > 0.9
    assert unsorted.padding_efficiency(unsorted.epoch(0)) < 0.65


def test_within_a_chunk_target_then_source_length_decides() -> None:
    source, target = torch.tensor([9, 1, 5, 2, 7, 3]), torch.tensor([4, 6, 4, 6, 4, 6])
    batches = sampler(source, target, batch_sentences=2, chunk_batches=100).epoch(0)
    assert sorted(batches) == [[0, 1], [2, 4], [3, 5]]  # cut from 2 4 0 1 3 5


def test_efficiency_is_real_tokens_over_cells() -> None:
    made = sampler(torch.tensor([1, 3, 0]), torch.tensor([2, 2, 4]), batch_sentences=2)
    # Batch (0, 1): sources 2 and 4 in 2 x 4 cells, targets 3 and 3 in 2 x 3. Batch (2): 1 and 5 without padding.
    assert made.padding_efficiency([[0, 1], [2]]) == (6 + 6 + 1 + 5) / (8 + 6 + 1 + 5)


@pytest.mark.parametrize(("tokens", "sentences"), [(None, None), (4000, 64)])
def test_exactly_one_size_must_be_given(tokens: int | None, sentences: int | None) -> None:
    with pytest.raises(ConfigError) as raised:
        BatchSampler(torch.tensor([1]), torch.tensor([1]), batch_tokens=tokens, batch_sentences=sentences, seed=1)
    shown = ["null" if value is None else str(value) for value in (tokens, sentences)]
    assert str(raised.value) == (
        f"trainer.batch_tokens={shown[0]} and trainer.batch_sentences={shown[1]}: "
        "set one of them and leave the other null"
    )


def test_sorted_batches_go_from_long_to_short() -> None:
    lengths = [3, 9, 1, 9, 5]
    assert sorted_batches(lengths, 2) == [[1, 3], [4, 0], [2]]
    assert sorted_batches(torch.tensor(lengths), 5) == [[1, 3, 4, 0, 2]]
    assert sorted_batches([], 2) == []
