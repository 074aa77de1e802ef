"""One update of the weights: which loss its gradient is of, with attention.coverage_loss and without."""

import copy
import dataclasses
import math

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.models.build import build_model
from seq2seq.runtime import Runtime
from seq2seq.training.loss import cross_entropy
from seq2seq.training.updater import Meter, Updater

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
    logits, weights = model(given.source, given.source_lengths, given.target_input, given.target_mask)
    loss = cross_entropy(logits, given.target_output[given.target_mask], smoothing).smoothed
    return loss + weight * covered_twice(weights, given.target_lengths)


@models
@pytest.mark.parametrize("weight", [0.0, 1.0, 0.3])
def test_the_coverage_loss_is_added_to_the_loss_a_token(name: str, weight: float) -> None:
    model, given = fresh(name), batch((5, 4), (3, 6), (4, 1))
    expected = outside(model, given, weight) / 11
    expected.backward()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    gradients = {key: value.grad for key, value in model.named_parameters()}

    updater = Updater(config(name, weight), copy.deepcopy(model), CPU)
    assert updater.update([given]) == 11
    assert updater.meter.read(1.0)["loss"] == pytest.approx(expected.item(), abs=2e-6)
    for key, after in updater.model.named_parameters():
        torch.testing.assert_close(before[key] - after.detach(), gradients[key], rtol=1e-4, atol=1e-5)


@models
def test_it_is_a_part_of_its_own(name: str) -> None:
    """The difference to the plain loss is the coverage loss alone, and is more than nothing."""
    model, given = fresh(name), batch((5, 4), (3, 6))
    losses = {}
    for weight in (0.0, 1.0):
        updater = Updater(config(name, weight), copy.deepcopy(model), CPU)
        updater.update([given])
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
    updater = Updater(config("after", 1.0), copy.deepcopy(model), CPU)
    assert updater.update(parts) == 16
    for (key, old), new in zip(model.named_parameters(), updater.model.parameters(), strict=True):
        torch.testing.assert_close((old - new).detach(), old.grad, rtol=1e-4, atol=1e-5, msg=key)


def test_the_gradient_is_clipped_and_its_whole_norm_reported() -> None:
    model, given = fresh("after"), batch((5, 4), (3, 6))
    (outside(model, given, 0.0) / 10).backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item()
    options = config("after")
    clipped = options.replace(trainer=dataclasses.replace(options.trainer, clip_norm=norm / 4))
    updater = Updater(clipped, copy.deepcopy(model), CPU)
    updater.update([given])
    assert updater.meter.read(0.5)["gradient_norm"] == pytest.approx(norm, abs=1e-4)
    for old, new in zip(model.parameters(), updater.model.parameters(), strict=True):
        torch.testing.assert_close((old - new).detach(), old.grad / 4, rtol=1e-3, atol=1e-5)


def test_what_the_meter_says_is_a_mean_and_forgotten() -> None:
    meter = Meter()
    meter.add(torch.tensor(6.0), torch.tensor(4.0), 2)
    meter.add(torch.tensor(3.0), torch.tensor(2.0), 1)
    numbers = meter.read(0.25)
    assert (numbers["loss"], numbers["learning_rate"]) == (3.0, 0.25)
    assert numbers["perplexity"] == pytest.approx(math.exp(2), abs=1e-4)
    assert meter.read(0.25)["loss"] == 0
