"""Products with weights in oneDNN's layout, and models whose steps are made of them, against the plain ones."""

import copy
import pickle

import pytest
import torch
from torch import nn

from seq2seq.models.packed import PackedLinear, Product, can_pack, packed

pytestmark = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN for this CPU")

OPTIONS = [
    {"decoder": "lstm"},
    {"decoder": "gru", "decoder.num_layers": 2},
    {"decoder": "lstm", "decoder.input_feeding": True},
    {"attention": "bahdanau", "decoder": "gru", "decoder.readout": "maxout"},
    {"attention": "none", "decoder": "gru"},
    {"attention": "bahdanau", "decoder": "conditional_gru"},
    {"attention": "bahdanau", "decoder": "gnmt"},
    {"attention": "multi_head", "decoder": "transformer", "encoder": "transformer"},
]


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 64, 300])
@pytest.mark.parametrize("biased", [True, False])
@torch.no_grad()
def test_the_product_is_the_layers(tensors, rows, biased):
    random = tensors(rows)
    inputs, weight, bias = random(rows, 70), random(40, 70), random(40) if biased else None
    expected = inputs.double() @ weight.double().t() + (bias.double() if biased else 0)
    found = Product()(inputs, weight, bias)
    assert (found.dtype, found.shape, found.is_contiguous()) == (torch.float32, (rows, 40), True)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_layer_takes_inputs_of_any_shape(tensors):
    random = tensors(1)
    layer, twin = nn.Linear(6, 3), PackedLinear(6, 3)
    twin.load_state_dict(layer.state_dict())
    for inputs in (random(6), random(2, 6), random(2, 4, 6), random(40, 6), random(6, 5).t()):
        torch.testing.assert_close(twin(inputs), layer(inputs))


@torch.no_grad()
def test_a_weight_that_changes_is_laid_out_anew(tensors):
    random, product = tensors(2), Product()
    inputs, weight = random(2, 6), random(3, 6)
    product(inputs, weight)
    weight.mul_(2)
    torch.testing.assert_close(product(inputs, weight), inputs @ weight.t())
    other = random(3, 6)
    torch.testing.assert_close(product(inputs, other), inputs @ other.t())
    torch.testing.assert_close(product(inputs, weight), inputs @ weight.t())


def test_where_gradients_are_wanted_it_is_torchs(tensors):
    random = tensors(3)
    inputs, weight, bias = (random(*shape).requires_grad_() for shape in ((2, 6), (3, 6), (3,)))
    Product()(inputs, weight, bias).sum().backward()
    assert torch.equal(inputs.grad, weight.sum(0).expand(2, 6))
    assert torch.equal(bias.grad, torch.tensor([2.0, 2.0, 2.0]))


@torch.inference_mode()
def test_weights_made_in_inference_mode_are_taken_too(tensors):
    random = tensors(4)
    inputs, weight = random(2, 6), random(3, 6)
    torch.testing.assert_close(Product()(inputs, weight), inputs @ weight.t())


@torch.no_grad()
@pytest.mark.parametrize("biased", [True, False])
def test_some_of_a_layers_outputs_alone(tensors, biased):
    """What a shortlist asks for."""
    layer, inputs, outputs = PackedLinear(6, 9, bias=biased), tensors(6)(2, 6), torch.tensor([7, 0, 3])
    torch.testing.assert_close(layer.select(outputs)(inputs), layer(inputs)[:, outputs])


@torch.no_grad()
def test_a_layer_is_copied_and_pickled_without_its_layouts(tensors):
    layer, inputs = PackedLinear(6, 3), tensors(5)(2, 6)
    expected = layer(inputs)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.product._layouts == {}
        assert torch.equal(other(inputs), expected)
        other.weight.zero_()
        assert torch.equal(other(inputs), other.bias.expand(2, 3))
    assert torch.equal(layer(inputs), expected)


def logits_of(model, source, lengths, words):
    """After each of these words (T, B): (T, B, V)."""
    state, found = model.start(source, lengths), []
    for tokens in words:
        step = model.step(tokens, state)
        found.append(step.logits)
        state = step.state
    return torch.stack(found)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_a_twin_steps_as_its_model(build, options, monkeypatch):
    model = build(options).eval()
    twin = packed(model)
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in model.named_parameters()]
    for own, shared in zip(model.parameters(), twin.parameters(), strict=True):
        assert own is shared
    calls = []
    plain = Product.__call__

    def counted(self, inputs, *rest):
        calls.append(inputs.shape)
        return plain(self, inputs, *rest)

    monkeypatch.setattr(Product, "__call__", counted)
    source, lengths = torch.tensor([[4, 5, 2], [6, 2, 3], [7, 7, 2]]), torch.tensor([3, 2, 3])
    words = torch.tensor([[1, 1, 1], [4, 9, 5], [8, 2, 4]])
    with monkeypatch.context() as patch:  # what is float32 whatever the weights' type, is float64 too
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        exact = logits_of(copy.deepcopy(model).double(), source, lengths, words)
    found, plain_found = logits_of(twin, source, lengths, words), logits_of(model, source, lengths, words)
    error, usual = ((logits - exact).abs().max() for logits in (found, plain_found))
    assert error <= 4 * usual  # no further from float64 than the model itself
    few = [shape for shape in calls if shape[:-1].numel() == 3]
    assert len(few) >= 3 * 3  # the output layer, the readout and a recurrence or more, at each of three steps


def test_the_model_itself_stays_as_it_was(build):
    model = build({"decoder": "lstm"})
    packed(model)
    assert not any(isinstance(getattr(part, "product", None), Product) for part in model.modules())


def missing(*_):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_reorder_linear_weight'")


def rounded(_, inputs, weight):
    return (inputs.bfloat16() @ weight.bfloat16().t()).float()


@pytest.mark.parametrize("product", [missing, rounded])
def test_where_there_is_no_such_product_in_float32_it_says_so(monkeypatch, product):
    monkeypatch.setattr(Product, "__call__", product)
    can_pack.cache_clear()
    try:
        assert not can_pack()
    finally:
        can_pack.cache_clear()
