"""One update of the weights: which loss its gradient is of, what keeps it from being done, and going on with it."""

import copy
import dataclasses
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from seq2seq.checkpoints import Checkpoints
from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.models.build import build_model
from seq2seq.runtime import Runtime
from seq2seq.training.loss import Loss, batch_loss
from seq2seq.training.objectives import CrossEntropy, cross_entropy
from seq2seq.training.optim import Schedule, build_optimizer
from seq2seq.training.state import random_state, set_random_state
from seq2seq.training.updater import Updater

VOCABULARY = 11
CPU = Runtime(torch.device("cpu"), "fp32", 1)
MODELS = {
    "after": {"attention": {"name": "luong_general"}, "decoder": {"name": "lstm", "dropout": 0.0}},
    "before": {"attention": {"name": "bahdanau"}, "decoder": {"name": "gru", "dropout": 0.0}},
    "neural coverage": {
        "attention": {"name": "bahdanau", "coverage": "neural"},
        "decoder": {"name": "conditional_gru", "dropout": 0.0},
    },
    "heads": {"attention": {"name": "multi_head"}, "decoder": {"name": "transformer", "dropout": 0.0}},
}
models = pytest.mark.parametrize("name", MODELS)
OPTIMIZERS = {
    "adam": {"name": "adam", "learning_rate": 0.01},
    "adamw": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    "sgd": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS)
SCHEDULERS = [
    {"name": "constant", "warmup_updates": 5},
    {"name": "inverse_sqrt", "warmup_updates": 3},
    {"name": "cosine", "warmup_updates": 2, "decay_updates": 7},
    {"name": "plateau", "patience": 0},
]


def config(name: str, weight: float = 0.0, smoothing: float = 0.1) -> Config:
    """Steps of gradient descent with rate 1 and no clipping: what a weight loses is its gradient."""
    options = {**MODELS[name], "attention": {**MODELS[name]["attention"], "coverage_loss": weight}}
    return Config.from_dict(
        {
            "embedding_size": 8,
            "encoder": {"name": "gru", "dropout": 0.0},
            "optimizer": {"name": "sgd", "learning_rate": 1.0},
            "trainer": {"clip_norm": None, "label_smoothing": smoothing},
            **options,
        }
    )


def fresh(name: str) -> torch.nn.Module:
    """A model whose attention isn't uniform, so that the coverage loss has a slope."""
    torch.manual_seed(3)
    model = build_model(config(name), VOCABULARY, VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def updater_of(options: Config, model: torch.nn.Module) -> Updater:
    return Updater(options, model, CPU, CrossEntropy(options.trainer.label_smoothing, options.attention.coverage_loss))


def batch(*lengths: tuple[int, int], seed: int = 0) -> Batch:
    """Random pairs of these source and target lengths, padded."""
    generator = torch.Generator().manual_seed(seed)
    sources, targets = (torch.tensor(side) for side in zip(*lengths, strict=True))

    def ids(longest: int) -> torch.Tensor:
        return torch.randint(4, VOCABULARY, (len(lengths), longest), generator=generator)

    longest = int(targets.max())
    return Batch(ids(int(sources.max())), sources, ids(longest), ids(longest), targets)


def covered_twice(weights: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """See et al. (2017), section 2.3: sum_t sum_i min(a_i^t, c_i^t), c^t the sum of the attention before step t."""
    total = weights.new_zeros(())
    for row, length in zip(weights, lengths.tolist(), strict=True):
        coverage = torch.zeros_like(row[0])
        for attention in row[:length]:
            total = total + torch.minimum(attention, coverage).sum()
            coverage = coverage + attention
    return total


def outside(model: torch.nn.Module, given: Batch, weight: float, smoothing: float = 0.1) -> torch.Tensor:
    """The loss of a batch, summed over its tokens, from what the model's call gives."""
    features, weights = model(given.source, given.source_lengths, given.target_input, given.target_mask)
    gold = given.target_output[given.target_mask]
    loss = F.cross_entropy(model.output(features), gold, label_smoothing=smoothing, reduction="sum")
    return loss + weight * covered_twice(weights, given.target_lengths)


@models
@pytest.mark.parametrize("weight", [0.0, 1.0, 0.3])
def test_the_coverage_loss_is_added_to_the_loss_a_token(name: str, weight: float) -> None:
    model, given = fresh(name), batch((5, 4), (3, 6), (4, 1))
    expected = outside(model, given, weight) / 11
    expected.backward()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    gradients = {key: value.grad for key, value in model.named_parameters()}

    updater = updater_of(config(name, weight), copy.deepcopy(model))
    assert updater.update([given], 1) == 11
    assert updater.meter.read(1.0)["loss"] == pytest.approx(expected.item(), abs=2e-6)
    for key, after in updater.model.named_parameters():
        torch.testing.assert_close(before[key] - after.detach(), gradients[key], rtol=1e-4, atol=1e-5)


@models
def test_it_is_a_part_of_its_own(name: str) -> None:
    """The difference to the plain loss is the coverage loss alone, and is more than nothing."""
    model, given = fresh(name), batch((5, 4), (3, 6))
    losses = {}
    for weight in (0.0, 1.0):
        updater = updater_of(config(name, weight), copy.deepcopy(model))
        updater.update([given], 1)
        losses[weight] = updater.meter.read(1.0)
    weights = model(given.source, given.source_lengths, given.target_input, given.target_mask).weights
    share = covered_twice(weights.detach(), given.target_lengths).item() / 10
    assert share > 0.1
    assert losses[1.0]["loss"] - losses[0.0]["loss"] == pytest.approx(share, abs=3e-6)
    assert losses[1.0]["perplexity"] == losses[0.0]["perplexity"]


def test_accumulated_batches_are_one() -> None:
    model = fresh("after")
    parts = [batch((5, 4), (3, 6), seed=1), batch((2, 2), (7, 3), (1, 1), seed=2)]
    (sum(outside(model, part, 1.0) for part in parts) / 16).backward()
    updater = updater_of(config("after", 1.0), copy.deepcopy(model))
    assert updater.update(parts, 1) == 16
    for (key, old), new in zip(model.named_parameters(), updater.model.parameters(), strict=True):
        torch.testing.assert_close((old - new).detach(), old.grad, rtol=1e-4, atol=1e-5, msg=key)


def test_the_gradient_is_clipped_and_its_whole_norm_reported() -> None:
    model, given = fresh("after"), batch((5, 4), (3, 6))
    (outside(model, given, 0.0) / 10).backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item()
    options = config("after")
    clipped = options.replace(trainer=dataclasses.replace(options.trainer, clip_norm=norm / 4))
    updater = updater_of(clipped, copy.deepcopy(model))
    updater.update([given], 1)
    assert updater.meter.read(0.5)["gradient_norm"] == pytest.approx(norm, abs=1e-4)
    for old, new in zip(model.parameters(), updater.model.parameters(), strict=True):
        torch.testing.assert_close((old - new).detach(), old.grad / 4, rtol=1e-3, atol=1e-5)


def updates_with(optimizer: str, **options: Any) -> Updater:
    given = Config.from_dict({**config("after").to_dict(), "optimizer": OPTIMIZERS[optimizer], **options})
    return updater_of(given, fresh("after"))


def numbers(updater: Updater) -> dict[str, torch.Tensor]:
    """All weights, and all that the optimizer keeps; no numbers and those it starts with are the same."""
    state = updater.optimizer.state_dict()["state"]
    kept = {f"{i} {name}": tensor for i, parts in state.items() for name, tensor in parts.items()}
    started = {name: tensor for name, tensor in kept.items() if tensor.any()}
    return {name: tensor.clone() for name, tensor in {**updater.model.state_dict(), **started}.items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def endless(loss: Loss, weights: torch.Tensor | None) -> tuple[Loss, torch.Tensor | None]:
    return Loss(loss.trained + math.inf, loss.nll), weights


@contextmanager
def spoilt(updater: Updater, where: str) -> Iterator[None]:
    """While it lasts, the loss isn't finite though the gradient is, or one element of one gradient isn't."""
    with pytest.MonkeyPatch.context() as patch:
        if where == "loss":
            patch.setattr(
                cross_entropy,
                "batch_loss",
                lambda *given: endless(*batch_loss(*given)),
            )
            yield
            return

        def spoil(gradient: torch.Tensor) -> torch.Tensor:
            gradient = gradient.clone()
            gradient.view(-1)[3] = float(where)
            return gradient

        hook = updater.model.target_embedding.weight.register_hook(spoil)
        yield
        hook.remove()


@pytest.mark.parametrize("where", ["loss", "nan", "inf", "-inf"])
@optimizers
def test_an_update_that_isn_t_finite_never_was(optimizer: str, where: str) -> None:
    """Also the first of all, from which the optimizer would make its numbers."""
    good = [batch((5, 4), (3, 6), seed=i) for i in range(2)]
    for first in (True, False):
        spared, hit = updates_with(optimizer), updates_with(optimizer)
        if not first:
            spared.update(good[:1], 1)
            hit.update(good[:1], 1)
        for row in (1, 2):
            before = numbers(hit)
            with spoilt(hit, where):
                hit.update([batch((4, 4), (6, 2), seed=9)], 1)
            assert_same(before, numbers(hit))
            assert hit.meter.skipped_in_row() == row
        for given in good[1:]:
            spared.update([given], 1)
            hit.update([given], 1)
        assert [hit.meter.skipped_in_row() for _ in range(2)] == [2, 0]  # the row that has ended, and none since
        assert hit.meter.read(1.0)["skipped"] == 2
        assert_same(numbers(spared), numbers(hit))


@optimizers
def test_fused_kernels_take_found_inf_for_a_skip(optimizer: str) -> None:
    """What updates on a GPU rely on: nothing changes, neither weights nor moments nor the count of steps."""
    options = Config.from_dict({"optimizer": OPTIMIZERS[optimizer]}).optimizer
    generator = torch.Generator().manual_seed(0)
    slopes = [torch.randn(3, 5, generator=generator) for _ in range(2)]
    steps: dict[bool, list[torch.Tensor]] = {}
    for bad in (False, True):
        parameter = torch.nn.Parameter(torch.ones(3, 5))
        kernel = build_optimizer(options, [parameter])
        parameter.grad = slopes[0].clone()
        kernel.step()
        if bad:
            kernel.found_inf = torch.tensor(1.0)
            parameter.grad = torch.full_like(parameter, math.nan)
            kernel.step()
            kernel.found_inf = torch.tensor(0.0)
        parameter.grad = slopes[1].clone()
        kernel.step()
        steps[bad] = [parameter.detach(), *kernel.state[parameter].values()]
    assert all(torch.equal(*pair) for pair in zip(steps[False], steps[True], strict=True))


def test_the_first_step_of_sgd_is_never_skipped_by_its_kernel() -> None:
    """It would leave a momentum that nobody wrote: a buffer as memory had it, taken for one from then on."""
    parameter = torch.nn.Parameter(torch.ones(3))
    kernel = build_optimizer(Config.from_dict({"optimizer": OPTIMIZERS["sgd"]}).optimizer, [parameter])
    kernel.found_inf = torch.tensor(1.0)
    parameter.grad = torch.full((3,), math.nan)
    kernel.step()
    assert torch.equal(parameter.detach(), torch.ones(3))
    assert "momentum_buffer" in kernel.state[parameter]


@pytest.mark.parametrize("scaled", [False, True])
@optimizers
def test_the_way_of_a_gpu_skips_the_same(optimizer: str, scaled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's kernels by the GPU's way; `scaled` as under precision=fp16, whose first updates overflow."""
    monkeypatch.setattr(Batch, "to", lambda self, device: self)
    good = [batch((5, 4), (3, 6), seed=i) for i in range(3)]
    spared, hit = updates_with(optimizer), updates_with(optimizer)
    hit.runtime = dataclasses.replace(CPU, device=torch.device("cuda"))
    hit.scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    scale = hit.scaler.get_scale()
    monkeypatch.setattr(hit.scaler, "_device", "cpu")
    for i, given in enumerate(good, start=1):
        with spoilt(hit, "inf"):
            hit.update([batch((4, 4), seed=9)], 1)
        spared.update([given], 1)
        hit.update([given], 1)
        assert_same(numbers(spared), numbers(hit))
        assert hit.scaler.get_scale() == (scale / 2**i if scaled else 1.0)
    assert hit.meter.read(1.0)["skipped"] == 3


def train(updater: Updater, schedule: Schedule, updates: range) -> None:
    """One of them is skipped, and after every third there is a validation that gets no better."""
    for update in updates:
        schedule.step(update)
        given = [batch((5, 4), (3, 6), seed=2 * update), batch((2, 7), seed=2 * update + 1)]
        if update == 2:
            with spoilt(updater, "nan"):
                updater.update(given, 1)
        else:
            updater.update(given, 1)
        if update % 3 == 0:
            schedule.validated(7.0)


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda options: str(options["name"]))
@optimizers
def test_saved_and_loaded_it_goes_on_as_if_never_cut(optimizer: str, scheduler: dict[str, Any], tmp_path: Path) -> None:
    """Bit for bit, through a real checkpoint, with dropout."""
    decoder = {"name": "lstm", "dropout": 0.3}
    random.seed(1)
    whole = updates_with(optimizer, decoder=decoder, scheduler=scheduler)
    schedule = Schedule(whole.optimizer, Config.from_dict({"scheduler": scheduler}).scheduler)
    train(whole, schedule, range(1, 5))
    checkpoints = Checkpoints(tmp_path)
    state = {"updater": whole.state_dict(), "schedule": schedule.state_dict(), "random": random_state(CPU)}
    checkpoints.save(4, whole.model, state, rank=None, scores={}, keep_last=1, keep_best=1)
    train(whole, schedule, range(5, 8))  # while a thread writes
    checkpoints.wait()
    drawn = torch.rand(3), random.random()

    resumed = updates_with(optimizer, decoder=decoder, scheduler=scheduler)
    again = Schedule(resumed.optimizer, Config.from_dict({"scheduler": scheduler}).scheduler)
    found = Checkpoints(tmp_path).load_newest(resumed.model)
    assert found is not None
    resumed.load_state_dict(found[1]["updater"])
    again.load_state_dict(found[1]["schedule"])
    torch.manual_seed(99)
    random.seed(99)
    set_random_state(found[1]["random"], CPU)
    train(resumed, again, range(5, 8))
    assert_same(numbers(whole), numbers(resumed))
    assert again.learning_rate == schedule.learning_rate
    assert resumed.meter.read(1.0) == whole.meter.read(1.0)
    assert torch.equal(torch.rand(3), drawn[0])
    assert random.random() == drawn[1]


def test_a_scaler_comes_and_goes_with_the_precision() -> None:
    """precision may change when a run is gone on with: then there is no scale to go on from, or nobody to take it."""
    plain, scaled = updates_with("adam"), updates_with("adam")
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, enabled=True)
    scaled.update([batch((5, 4))], 1)
    state = scaled.state_dict()
    scaled.load_state_dict(plain.state_dict())
    plain.load_state_dict(state)
    assert plain.scaler.get_scale() == 1.0
    scaled.scaler = torch.amp.GradScaler("cpu", enabled=True)
    scaled.load_state_dict(state)
    assert scaled.scaler.get_scale() == 8.0
