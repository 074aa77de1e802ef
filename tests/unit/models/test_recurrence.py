"""Whole layers in one function, against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.models.memory import RNNState
from seq2seq.models.rnn import FusedLayer, RNNSpec

INPUT, HIDDEN = 5, 4
LENGTHS = {"different": [3, 7, 1, 7, 2, 5], "alike": [4, 4, 4], "one": [6], "words": [1, 1]}

cells = pytest.mark.parametrize("cell", ["gru", "lstm"])
directions = pytest.mark.parametrize("bidirectional", [False, True])
sizes = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))


def layer_of(cell, bidirectional, dtype=torch.float64):
    torch.manual_seed(1)
    layer = FusedLayer(RNNSpec(cell), INPUT, HIDDEN, bidirectional).to(dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.7)
    return layer


def torchs(layer, inputs, lengths):
    """Outputs (B, S, D*H) and the final state's parts (D, B, H)."""
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    outputs, final = layer.rnn(packed)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
    return [outputs, *([final] if isinstance(final, torch.Tensor) else final)]


def ours(layer, inputs, lengths):
    outputs, final = layer.encode(inputs, lengths)
    parts = [part for part in final if part is not None]  # (1, B, D*H)
    return [outputs, *(torch.cat(part.chunk(part.shape[2] // HIDDEN, dim=2)) for part in parts)]


def gradients(parts, layer, inputs, draw):
    """Of a sum in which every element of outputs and states has a weight of its own."""
    total = sum((part.sin() * draw(*part.shape)).sum() for part in parts)
    return torch.autograd.grad(total, [inputs, *layer.parameters()])


@cells
@directions
@sizes
def test_values_and_gradients_are_torchs(cell, bidirectional, lengths, tensors):
    layer, lengths = layer_of(cell, bidirectional), torch.tensor(lengths)
    inputs = tensors(2, torch.float64)(len(lengths), int(lengths.max()) + 1, INPUT).requires_grad_()
    expected, found = torchs(layer, inputs, lengths), ours(layer, inputs, lengths)
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other, atol=1e-12, rtol=1e-12)
    for part, other in zip(
        gradients(found, layer, inputs, tensors(3, torch.float64)),
        gradients(expected, layer, inputs, tensors(3, torch.float64)),
        strict=True,
    ):
        torch.testing.assert_close(part, other, atol=1e-12, rtol=1e-12)


@cells
@directions
def test_outputs_alone_or_states_alone_may_be_used(cell, bidirectional, tensors):
    """So that of some results no gradient comes back."""
    layer, lengths = layer_of(cell, bidirectional), torch.tensor([3, 5])
    inputs = tensors(4, torch.float64)(2, 5, INPUT).requires_grad_()
    for kept in (slice(0, 1), slice(1, 2), slice(1, None)):
        found = gradients(ours(layer, inputs, lengths)[kept], layer, inputs, tensors(5, torch.float64))
        expected = gradients(torchs(layer, inputs, lengths)[kept], layer, inputs, tensors(5, torch.float64))
        for part, other in zip(found, expected, strict=True):
            torch.testing.assert_close(part, other, atol=1e-12, rtol=1e-12)


@cells
def test_under_autocast_only_products_are_rounded(cell, tensors):
    layer, lengths = layer_of(cell, True, torch.float32), torch.tensor([6, 2, 4])
    inputs = tensors(6)(3, 6, INPUT).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, *states = ours(layer, inputs, lengths)
    assert outputs.dtype == torch.bfloat16
    assert {state.dtype for state in states} == {torch.float32}
    for part, other in zip([outputs, *states], torchs(layer, inputs, lengths), strict=True):
        torch.testing.assert_close(part.float(), other, atol=0.05, rtol=0)
    gradient, *of_weights = gradients([outputs.float()], layer, inputs, tensors(7))
    exact, *of_exact = gradients(torchs(layer, inputs, lengths)[:1], layer, inputs, tensors(7))
    assert {part.dtype for part in (gradient, *of_weights)} == {torch.float32}
    for part, other in zip([gradient, *of_weights], [exact, *of_exact], strict=True):
        torch.testing.assert_close(part, other, atol=0.05 * float(other.abs().max()), rtol=0)


@cells
def test_a_batch_can_be_left_and_taken_up_again(cell, tensors):
    """The final states are those that the next steps need."""
    layer, draw = layer_of(cell, False), tensors(8, torch.float64)
    inputs = draw(2, 6, INPUT)
    whole, final = layer.encode(inputs, torch.tensor([6, 6]))
    _, middle = layer.encode(inputs[:, :4], torch.tensor([4, 4]))
    rest, end = layer(inputs[:, 4:], RNNState(*middle))
    torch.testing.assert_close(rest, whole[:, 4:])
    for part, other in zip(end, final, strict=True):
        assert (part is None) == (other is None)
        if part is not None:
            torch.testing.assert_close(part, other)
