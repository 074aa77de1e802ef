"""Each sentence once an epoch, within the budget, in an order that nothing but seed and epoch decides."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq.data import sampler as module
from seq2seq.data.sampler import BatchSampler, Epoch, sorted_batches
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


def lists(epoch: Epoch) -> list[list[int]]:
    return [rows.tolist() for rows in epoch]


def cut(rows: list[int], lengths: list[int], budget: int) -> list[list[int]]:
    """Sentence by sentence: into the batch if it still fits, else into a new one."""
    batches: list[list[int]] = []
    for row in rows:
        longest = max([lengths[row], *(lengths[other] for other in batches[-1])]) if batches else lengths[row]
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


@given(pairs=lengths_of_pairs, budget=st.integers(1, 300), chunk_batches=st.integers(1, 5), epoch=st.integers(0, 9))
@settings(deadline=None, database=None)
def test_token_batches_hold_all_sentences_once_within_the_budget(
    pairs: list[tuple[int, int]], budget: int, chunk_batches: int, epoch: int
) -> None:
    source, target = torch.tensor(pairs).unbind(1)
    batches = lists(sampler(source, target, batch_tokens=budget, chunk_batches=chunk_batches).epoch(epoch))
    assert sorted(i for batch in batches for i in batch) == list(range(len(pairs)))
    for batch in batches:
        longest = max(max(pairs[i]) + 1 for i in batch)
        assert len(batch) * longest <= budget or len(batch) == 1


@given(pairs=lengths_of_pairs, budget=st.integers(1, 300))
@settings(deadline=None, database=None)
def test_token_batches_are_those_of_a_loop_over_sentences(pairs: list[tuple[int, int]], budget: int) -> None:
    made = sampler(torch.tensor(pairs).int()[:, 0], torch.tensor(pairs).int()[:, 1], batch_tokens=budget)
    made.chunk_batches = 10**6  # one chunk
    batches = made.epoch(3)
    order = batches.order.tolist()
    by_length = [(pairs[i][1], pairs[i][0]) for i in order]
    assert by_length == sorted(by_length)
    expected = cut(order, [max(pair) + 1 for pair in pairs], budget)
    assert sorted(lists(batches)) == sorted(expected)


def test_token_batches_are_as_large_as_the_budget_allows() -> None:
    equal = sampler(torch.full((8,), 9), torch.full((8,), 9), batch_tokens=40).epoch(0)
    assert [len(batch) for batch in equal] == [4, 4]  # 4 rows of 9 pieces and EOS
    # The long source stands alone, and its length is forgotten: three rows of 3 go into the next batch of 10.
    mixed = sampler(torch.tensor([9, 2, 2, 2]), torch.tensor([1, 2, 2, 2]), batch_tokens=10).epoch(0)
    assert sorted(map(sorted, lists(mixed))) == [[0], [1, 2, 3]]


@given(pairs=lengths_of_pairs, size=st.integers(1, 40), chunk_batches=st.integers(1, 5))
@settings(deadline=None, database=None)
def test_sentence_batches_are_full_but_for_one(pairs: list[tuple[int, int]], size: int, chunk_batches: int) -> None:
    source, target = torch.tensor(pairs).unbind(1)
    batches = lists(sampler(source, target, batch_sentences=size, chunk_batches=chunk_batches).epoch(0))
    assert sorted(i for batch in batches for i in batch) == list(range(len(pairs)))
    assert sorted(len(batch) for batch in batches)[1:] == [size] * (len(batches) - 1)
    assert max(len(batch) for batch in batches) <= size


@pytest.mark.parametrize("options", [{"batch_tokens": 500}, {"batch_sentences": 16}])
def test_an_epoch_is_a_function_of_seed_and_number(options: dict[str, int]) -> None:
    source, target = random_lengths(1000)
    first = lists(sampler(source, target, **options).epoch(2))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = sampler(source, target, **options)
    again.epoch(0)
    assert lists(again.epoch(2)) == first
    assert torch.equal(torch.get_rng_state(), state)  # neither reads the global generator nor moves it
    assert lists(again.epoch(3)) != first
    assert lists(sampler(source, target, **options, seed=2).epoch(2)) != first
    # Neighbouring seeds and epochs share no permutation: (seed 1, epoch 2) isn't (seed 2, epoch 1).
    assert lists(sampler(source, target, **options, seed=2).epoch(1)) != first


def test_sentences_meet_others_in_every_epoch() -> None:
    source, target = random_lengths(1000)
    one, other = (lists(sampler(source, target, batch_sentences=10, chunk_batches=10).epoch(i)) for i in (0, 1))
    assert {frozenset(batch) for batch in one}.isdisjoint(frozenset(batch) for batch in other)


def test_batches_come_neither_short_nor_long_first() -> None:
    source, target = random_lengths(3000)
    batches = sampler(source, target, batch_sentences=10).epoch(0)
    means = torch.tensor([target[batch].double().mean() for batch in batches])
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
    assert sorted(lists(batches)) == [[0, 1], [2, 4], [3, 5]]  # cut from 2 4 0 1 3 5


def test_efficiency_is_real_tokens_over_cells() -> None:
    made = sampler(torch.tensor([1, 3, 0]), torch.tensor([2, 2, 4]), batch_sentences=2)
    # Batch (0, 1): sources 2 and 4 in 2 x 4 cells, targets 3 and 3 in 2 x 3. Batch (2): 1 and 5 without padding.
    epoch = Epoch(torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([2, 0]), torch.tensor([3, 2]))
    assert lists(epoch) == [[2], [0, 1]]
    assert made.padding_efficiency(epoch) == (6 + 6 + 1 + 5) / (8 + 6 + 1 + 5)
    assert made.padding_efficiency(epoch[1:]) == (6 + 6) / (8 + 6)


@given(pairs=lengths_of_pairs, at_once=st.integers(1, 4))
@settings(deadline=None, database=None)
def test_efficiency_is_that_of_a_loop_over_batches(pairs: list[tuple[int, int]], at_once: int) -> None:
    made = sampler(*torch.tensor(pairs).int().unbind(1), batch_tokens=200)
    batches = lists(made.epoch(0))
    real = sum(pairs[i][side] + 1 for batch in batches for i in batch for side in (0, 1))
    cells = sum(len(batch) * (max(pairs[i][side] for i in batch) + 1) for batch in batches for side in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MEASURED_AT_ONCE", at_once)
        assert made.padding_efficiency(made.epoch(0)) == pytest.approx(real / cells)


# --- epochs


@pytest.mark.parametrize("options", [{"batch_tokens": 500}, {"batch_sentences": 16}])
def test_an_epoch_can_be_entered_anywhere(options: dict[str, int]) -> None:
    epoch = sampler(*random_lengths(400), **options).epoch(1)
    batches = lists(epoch)
    assert len(epoch) == len(batches) == len({tuple(batch) for batch in batches})
    assert [epoch[i].tolist() for i in range(len(epoch))] == batches
    assert epoch[-1].tolist() == batches[-1]
    assert lists(epoch[5:]) == batches[5:]
    assert lists(epoch[2:9][1:3]) == batches[2:9][1:3]
    assert len(epoch[len(epoch) :]) == 0
    assert epoch.rows().tolist() == [i for batch in batches for i in batch]
    assert epoch[0].dtype == torch.int64
    with pytest.raises(IndexError):
        epoch[len(epoch)]


def test_an_epoch_holds_four_bytes_a_sentence() -> None:
    epoch = sampler(*random_lengths(5000), batch_sentences=50).epoch(0)
    held = sum(tensor.untyped_storage().nbytes() for tensor in (epoch.order, epoch.starts, epoch.ends))
    assert held == 4 * 5000 + 2 * 8 * 100


# --- the largest batch


@given(
    pairs=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=60, unique_by=sum),
    budget=st.integers(1, 300),
)
@settings(deadline=None, database=None)
def test_no_batch_is_larger_than_the_largest(pairs: list[tuple[int, int]], budget: int) -> None:
    lengths = torch.tensor(pairs).int().unbind(1)
    longest_first = sorted(range(len(pairs)), key=lambda i: -sum(pairs[i]))
    assert sorted(sampler(*lengths, batch_sentences=budget).largest().tolist()) == sorted(longest_first[:budget])
    by_tokens = sampler(*lengths, batch_tokens=budget)

    def cells(rows: list[int]) -> int:
        return len(rows) * (max(pairs[i][0] for i in rows) + max(pairs[i][1] for i in rows) + 2)

    assert cells(by_tokens.largest().tolist()) == max(cells(rows.tolist()) for rows in by_tokens.epoch(0))


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
