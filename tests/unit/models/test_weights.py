"""Weights by name: put into a model or refused, compared, summed up."""

import copy
import re

import pytest
import torch
from torch import nn

from seq2seq.errors import CheckpointError
from seq2seq.models.weights import check_fit, digest, distinct, finite, fit, mean, parameters


class Tied(nn.Module):
    """Weights of many kinds, one matrix under two names."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5)
        self.output.weight = self.embedding.weight
        self.norm = nn.BatchNorm1d(3)  # with a count of int64 and no dimensions
        self.register_buffer("halves", torch.tensor([1.5, -0.0], dtype=torch.bfloat16))
        self.register_buffer("flag", torch.tensor([True, False]))
        self.register_buffer("none", torch.zeros(0, 4))
        self.register_buffer("passing", torch.zeros(2), persistent=False)


@pytest.fixture
def model(tensors):
    model, draw = Tied(), tensors(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(draw(*parameter.shape))
    return model


def copied(model):
    return {name: tensor.detach().clone() for name, tensor in distinct(model).items()}


def refuses(message):
    return pytest.raises(CheckpointError, match=f"^{re.escape(message)}$")


def test_tied_weights_stand_once_under_their_first_name(model):
    names = ["embedding.weight", "output.bias", "norm.weight", "norm.bias"]
    buffers = ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "halves", "flag", "none"]
    assert set(distinct(model)) == {*names, *buffers}
    assert distinct(model)["embedding.weight"] is model.embedding.weight
    assert parameters(model) == 5 * 3 + 5 + 3 + 3


def test_weights_that_are_equal_but_not_one_stand_each():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight.data = model[0].weight.data.clone()
    assert list(distinct(model)) == ["0.weight", "1.weight"]


def test_what_is_put_in_is_what_was_there(model):
    weights, before = copied(model), digest(model)
    other = Tied()
    fit(other, weights, "FILE")
    assert digest(other) == before
    assert other.output.weight is other.embedding.weight
    assert all(tensor.equal(weights[name]) for name, tensor in distinct(other).items())
    with torch.no_grad():
        weights["embedding.weight"].zero_()
    assert digest(other) == before  # it keeps a copy


def test_the_first_difference_is_named(model):
    start = "FILE doesn't fit the model of its config: "
    cases = [
        ({"extra": torch.zeros(1)}, "only the checkpoint has extra"),
        ({"output.bias": torch.zeros(6)}, "output.bias is (6,) float32, not (5,) float32"),
        ({"embedding.weight": torch.zeros(3, 5)}, "embedding.weight is (3, 5) float32, not (5, 3) float32"),
        ({"output.bias": torch.zeros(5, dtype=torch.float64)}, "output.bias is (5,) float64, not (5,) float32"),
        ({"output.bias": torch.zeros(5, dtype=torch.bfloat16)}, "output.bias is (5,) bfloat16, not (5,) float32"),
        ({"output.bias": torch.zeros(5, dtype=torch.int8)}, "output.bias is (5,) int8, not (5,) float32"),
        ({"halves": torch.zeros(2)}, "halves is (2,) float32, not (2,) bfloat16"),
        ({"flag": torch.zeros(2, dtype=torch.uint8)}, "flag is (2,) uint8, not (2,) bool"),
        ({"output.weight": torch.zeros(5, 3)}, "only the checkpoint has output.weight"),
    ]
    for change, message in cases:
        before = digest(model)
        with refuses(start + message):
            fit(model, copied(model) | change, "FILE")
        assert digest(model) == before
    for name in distinct(model):
        weights = copied(model)
        del weights[name]
        with refuses(f"{start}only the config's model has {name}"):
            check_fit(model, weights, "FILE")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["embedding.weight", "norm.running_var", "halves"])
def test_numbers_that_are_not_finite_are_refused(model, name, number):
    weights, before = copied(model), digest(model)
    weights[name].view(-1)[-1] = number
    with refuses(f"FILE: {name} holds numbers that aren't finite; a training that failed left it"):
        fit(model, weights, "FILE")
    assert digest(model) == before
    assert finite(model)
    with torch.no_grad():
        distinct(model)[name].view(-1)[-1] = number
    assert not finite(model)


def test_sizes_are_compared_without_memory_for_the_model(model):
    with torch.device("meta"):
        huge = nn.Linear(2**30, 2**30, bias=False)  # four exabytes
        twin = Tied()
    with refuses(
        "FILE doesn't fit the model of its config: weight is (2, 2) float32, not (1073741824, 1073741824) float32"
    ):
        check_fit(huge, {"weight": torch.zeros(2, 2)}, "FILE")
    check_fit(twin, copied(model), "FILE")


def test_messages_are_short_and_clean_whatever_the_weights_are_called(model):
    for name in ("x" * 10_000, "\x1b[2J", "a\nerror: b", "\u202e", "\udc80"):
        with pytest.raises(CheckpointError) as caught:
            check_fit(model, copied(model) | {name: torch.zeros(1)}, "FILE")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500
    weights = copied(model) | {"halves": torch.zeros([1] * 5000)}
    with refuses(
        "FILE doesn't fit the model of its config: halves is of 5,000 dimensions and float32, not (2,) bfloat16"
    ):
        check_fit(model, weights, "FILE")


def test_the_digest_depends_on_every_weight_and_its_name_and_on_nothing_else(model):
    digests = {digest(model)}
    assert digests == {digest(copy.deepcopy(model))}
    assert re.fullmatch(r"[0-9a-f]{64}", *digests)
    places = 0
    for name, tensor in distinct(model).items():
        for place in range(tensor.numel()):
            changed = copy.deepcopy(model)
            with torch.no_grad():
                flat = distinct(changed)[name].view(-1)
                flat[place] = ~flat[place] if flat.dtype == torch.bool else flat[place] + 1
            digests.add(digest(changed))
            places += 1
    assert len(digests) == 1 + places
    assert digest(nn.Sequential(model)) not in digests
    negative = copy.deepcopy(model)
    negative.halves[1] = 0.0  # it was -0.0
    assert digest(negative) not in digests


def test_the_digest_depends_on_shapes_and_types():
    flat, square = nn.Linear(4, 1, bias=False), nn.Linear(2, 2, bias=False)
    square.weight.data = flat.weight.data.view(2, 2)
    assert digest(flat) != digest(square)
    assert digest(nn.Linear(4, 0, bias=False)) != digest(nn.Linear(4, 0, bias=False).half())


def test_the_mean_is_taken_number_by_number_and_counts_are_the_firsts():
    first = {"a": torch.tensor([1.0, -2.0]), "n": torch.tensor(7), "f": torch.tensor([True]), "e": torch.zeros(0, 2)}
    second = {"a": torch.tensor([2.0, 4.0]), "n": torch.tensor(9), "f": torch.tensor([False]), "e": torch.zeros(0, 2)}
    third = {"a": torch.tensor([6.0, 1.0]), "n": torch.tensor(8), "f": torch.tensor([False]), "e": torch.zeros(0, 2)}
    found = mean(iter([first, second, third]), "FOLDER")
    assert found["a"].tolist() == [3.0, 1.0]
    assert (found["n"].item(), found["f"].item(), found["e"].shape) == (7, True, (0, 2))
    assert {name: tensor.dtype for name, tensor in found.items()} == {name: t.dtype for name, t in first.items()}
    assert first["a"].tolist() == [1.0, -2.0]  # and nothing is written into what was given


def test_the_mean_is_summed_up_in_float64():
    """In their own type a thousand equal numbers would not come to that number any more."""
    for dtype in (torch.bfloat16, torch.float32):
        value = torch.tensor([1 / 3, 1 + 2**-23], dtype=dtype)
        assert torch.equal(mean([{"a": value} for _ in range(1000)], "FOLDER")["a"], value)
        assert not torch.equal(sum(value for _ in range(1000)) / 1000, value)
    double = torch.tensor([1.0], dtype=torch.float64)
    assert mean([{"a": double}, {"a": double + 2}], "FOLDER")["a"].item() == 2.0
    assert double.item() == 1.0  # nothing is written into what was given
    large = [{"a": torch.tensor([number], dtype=torch.float32)} for number in (2.0**30, 1.0, -(2.0**30))]
    assert mean(large, "FOLDER")["a"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.zeros(2), "b": torch.zeros(1)},
        {},
        {"b": torch.zeros(2)},
        {"a": torch.zeros(1)},  # which could be added
        {"a": torch.zeros(2, 2)},
        {"a": torch.zeros(2, dtype=torch.float64)},
    ],
)
def test_different_models_have_no_mean(other):
    with refuses("FOLDER holds checkpoints of different models, which have no mean"):
        mean([{"a": torch.zeros(2)}, other], "FOLDER")
