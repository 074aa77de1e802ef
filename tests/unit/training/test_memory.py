"""Where memory has no room for a batch, it is taken in parts; and a rehearsal finds out before training."""

import copy
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.errors import TrainingError
from seq2seq.models.build import build_model
from seq2seq.runtime import Runtime
from seq2seq.training.loss import batch_loss
from seq2seq.training.objectives import CrossEntropy, cross_entropy
from seq2seq.training.state import random_state
from seq2seq.training.updater import Updater, split

VOCABULARY = 11
CPU = Runtime(torch.device("cpu"), "fp32", 1)


def batch(*lengths: tuple[int, int], seed: int = 0) -> Batch:
    """Random pairs of these source and target lengths, padded with 0."""
    generator = torch.Generator().manual_seed(seed)
    sources, targets = (torch.tensor(side) for side in zip(*lengths, strict=True))

    def ids(sizes: torch.Tensor) -> torch.Tensor:
        longest = int(sizes.max())
        tokens = torch.randint(4, VOCABULARY, (len(sizes), longest), generator=generator)
        return tokens * (torch.arange(longest) < sizes[:, None])

    return Batch(ids(sources), sources, ids(targets), ids(targets), targets)


def cells(of: Batch) -> int:
    return of.source.numel() + of.target_output.numel()


def make(coverage_loss: float = 0.0, **options: Any) -> Updater:
    """Steps of gradient descent with rate 1 and no clipping: what a weight loses is its gradient."""
    config = Config.from_dict(
        {
            "embedding_size": 8,
            "encoder": {"name": "gru", "dropout": 0.0},
            "attention": {"name": "bahdanau", "coverage_loss": coverage_loss},
            "decoder": {"name": "gru", "dropout": 0.0},
            "optimizer": {"name": "sgd", "learning_rate": 1.0},
            "trainer": {"clip_norm": None},
            **options,
        }
    )
    torch.manual_seed(3)
    objective = CrossEntropy(config.trainer.label_smoothing, coverage_loss)
    return Updater(config, build_model(config, VOCABULARY, VOCABULARY), CPU, objective)


ERRORS = {
    "torch's": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "CUDA's": RuntimeError("CUDA error: out of memory"),
    "cuBLAS's": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
}


class Room:
    """Memory for batches of so many cells; counts the forward passes that were tried."""

    def __init__(self, most: int, error: RuntimeError | None = None, in_backward: bool = False) -> None:
        self.most, self.error, self.in_backward = most, error, in_backward
        self.tried: list[int] = []

    def batch_loss(self, model: Any, given: Batch, smoothing: float) -> Any:
        self.tried.append(cells(given))
        loss = batch_loss(model, given, smoothing)
        if cells(given) > self.most:
            if not self.in_backward:
                self.fail()
            source = model.source_embedding.weight  # the last gradient of all
            hook = source.register_hook(lambda _: hook.remove() or self.fail(model))
        return loss

    def fail(self, model: Any = None) -> None:
        if model is not None:
            assert model.output.bias.grad is not None  # which must be forgotten
        if self.error is None:
            torch.empty(2**55)  # the CPU's allocator in its own words
        raise self.error or AssertionError


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(most: int, error: RuntimeError | None = None, in_backward: bool = False) -> Room:
        found = Room(most, error, in_backward)
        monkeypatch.setattr(cross_entropy, "batch_loss", found.batch_loss)
        return found

    return put


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("seq2seq")
    logger.addHandler(caplog.handler)
    propagate, logger.propagate = logger.propagate, False
    yield caplog
    logger.propagate = propagate
    logger.removeHandler(caplog.handler)


EIGHT = batch((5, 5), (4, 3), (5, 2), (1, 5), (2, 2), (5, 5), (3, 4), (5, 1))  # 80 cells


def assert_close(one: Updater, other: Updater) -> None:
    for (name, weight), same in zip(one.model.named_parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("in_backward", [False, True])
@pytest.mark.parametrize("error", [None, *ERRORS.values()], ids=["the CPU's", *ERRORS])
def test_the_parts_gradient_is_the_wholes(room: Any, error: RuntimeError | None, in_backward: bool) -> None:
    whole, parted = make(), make()
    whole.update([EIGHT], 1)
    found = room(25, error, in_backward)
    assert parted.update([EIGHT], 1) == EIGHT.target_tokens
    assert found.tried[:3] == [80, 40, 20]
    assert max(found.tried[2:]) <= 20
    assert len(found.tried) == 2 + 4
    assert_close(whole, parted)
    assert parted.meter.read(1.0)["loss"] == pytest.approx(whole.meter.read(1.0)["loss"], abs=2e-6)


def test_with_accumulated_batches_and_the_coverage_loss(room: Any) -> None:
    given = [batch((3, 3), (2, 3), seed=1), EIGHT, batch((5, 5), (4, 5), (1, 5), (2, 2), seed=2)]
    whole, parted = make(coverage_loss=1.0), make(coverage_loss=1.0)
    whole.update(given, 1)
    found = room(25, in_backward=True)
    parted.update(given, 1)
    assert max(found.tried) == 80
    assert_close(whole, parted)
    assert parted.meter.read(1.0)["loss"] == pytest.approx(whole.meter.read(1.0)["loss"], abs=2e-6)


def test_the_limit_is_remembered_and_said_once(room: Any, warnings: pytest.LogCaptureFixture) -> None:
    updater = make()
    found = room(45)
    updater.update([EIGHT], 1)
    assert found.tried == [80, 40, 40]
    found.tried.clear()
    updater.update([EIGHT], 1)
    updater.update([batch((5, 5), (2, 2))], 1)
    assert found.tried == [40, 40, 20]  # at once in parts, and what there is room for whole
    other = make()
    other.load_state_dict(updater.state_dict())
    found.tried.clear()
    other.update([EIGHT], 1)
    assert found.tried == [40, 40]
    found.most = 25  # less room than there was
    updater.update([EIGHT], 1)
    assert [record.getMessage() for record in warnings.records] == [
        "memory has no room for a batch of 8 sentences of 5 source and 5 target pieces: batches of this size are now "
        "taken in parts (a smaller trainer.batch_sentences or batch_tokens with a larger trainer.accumulate does the "
        "same)"
    ]


def test_a_sentence_alone_without_room_ends_the_training(room: Any) -> None:
    room(9)
    with pytest.raises(TrainingError, match="no room for one sentence of 7 source and 3 target pieces; set a smaller"):
        make().update([batch((7, 3), (6, 3), (5, 2))], 1)


def test_the_batch_that_failed_is_split_not_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long sentence that has room beside a batch of fewer cells that has none: logits need more than sources."""
    whole, parted = make(), make()
    pair = [batch((40, 1)), batch((2, 8), (2, 8), (2, 8), (2, 8))]
    whole.update(pair, 1)

    def no_room_for_targets(model: Any, given: Batch, smoothing: float) -> Any:
        if given.target_output.numel() > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch_loss(model, given, smoothing)

    monkeypatch.setattr(cross_entropy, "batch_loss", no_room_for_targets)
    parted.update(pair, 1)
    assert_close(whole, parted)


def test_other_errors_are_no_lack_of_memory(room: Any) -> None:
    found = room(25, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        make().update([EIGHT], 1)
    assert found.tried == [80]


def test_no_room_for_the_optimizers_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    updater = make()

    def step() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(updater.optimizer, "step", step)
    with pytest.raises(TrainingError, match=r"what the optimizer keeps of each weight; use optimizer=sgd"):
        updater.update([EIGHT], 1)


def test_a_rehearsal_leaves_no_trace(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    updater = make(decoder={"name": "gru", "dropout": 0.4}, optimizer={"name": "adam", "learning_rate": 0.1})
    updater.update([EIGHT], 1)
    updater.meter.seconds = 1.0
    model, state = copy.deepcopy(updater.model.state_dict()), copy.deepcopy(updater.state_dict())
    before = random_state(CPU)
    found = room(25)

    def drawing(model: Any, given: Batch, smoothing: float) -> Any:
        random.random()  # as a component of a user's own may
        return found.batch_loss(model, given, smoothing)

    monkeypatch.setattr(cross_entropy, "batch_loss", drawing)
    updater.rehearse(EIGHT)
    after = random_state(CPU)
    assert torch.equal(before["torch"], after["torch"])
    assert torch.equal(before["python"]["words"], after["python"]["words"])
    assert all(torch.equal(model[name], tensor) for name, tensor in updater.model.state_dict().items())
    assert all(parameter.grad is None for parameter in updater.model.parameters())
    assert updater.most_cells == 20  # but what it has learnt
    now = updater.state_dict()
    assert {**flat(now), ".most_cells": None} == flat(state)


def flat(state: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(state, dict):
        return {prefix: state.tolist() if isinstance(state, torch.Tensor) else state}
    return {name: value for key, part in state.items() for name, value in flat(part, f"{prefix}.{key}").items()}


def test_a_rehearsal_that_fails_leaves_none_either(room: Any) -> None:
    updater = make(decoder={"name": "gru", "dropout": 0.4})
    before = random_state(CPU)
    room(8, in_backward=True)
    with pytest.raises(TrainingError, match="no room for one sentence"):
        updater.rehearse(EIGHT)
    assert torch.equal(before["torch"], random_state(CPU)["torch"])
    assert all(parameter.grad is None for parameter in updater.model.parameters())


lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(lengths, st.one_of(st.none(), st.integers(1, 250)))
def test_parts_are_the_rows_in_order_within_the_limit(pairs: list[tuple[int, int]], most: int | None) -> None:
    whole = batch(*pairs)
    parts = split(whole, most)
    if most is None or cells(whole) <= most:
        assert parts == [whole]
    row = cells(whole) // len(pairs)
    assert all(cells(part) <= (most or cells(whole)) or (len(part.source) == 1 and row > (most or 0)) for part in parts)
    seen = []
    for part in parts:
        for i, (source, target) in enumerate(zip(part.source_lengths, part.target_lengths, strict=True)):
            sides = (part.source[i], part.target_input[i], part.target_output[i])
            assert not any(side[size:].any() for side, size in zip(sides, (source, target, target), strict=True))
            seen.append([side[:size].tolist() for side, size in zip(sides, (source, target, target), strict=True)])
        if len(parts) > 1:
            assert part.source.shape[1] == part.source_lengths.max()
            assert part.target_input.shape[1] == part.target_output.shape[1] == part.target_lengths.max()
    assert seen == [
        [whole.source[i, :s].tolist(), whole.target_input[i, :t].tolist(), whole.target_output[i, :t].tolist()]
        for i, (s, t) in enumerate(pairs)
    ]


def test_parts_are_as_large_as_the_limit_lets_them() -> None:
    assert [len(part.source) for part in split(EIGHT, 39)] == [3, 3, 2]
    assert [len(part.source) for part in split(EIGHT, 40)] == [4, 4]
    assert [len(part.source) for part in split(EIGHT, 1)] == [1] * 8
