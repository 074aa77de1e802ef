import math

import pytest
import torch
from torch import nn

from seq2seq.models.cells import GATES, Cell, initialise

ROWS, INPUT, HIDDEN = 4, 6, 5

kinds = pytest.mark.parametrize("kind", ["gru", "lstm"])
norms = pytest.mark.parametrize("layer_norm", [False, True])


def make(kind, draw, layer_norm=False, recurrent_dropout=0.0):
    """A cell in float64 with random weights, gains and biases, and what goes into it."""
    cell = Cell(kind, HIDDEN, layer_norm, recurrent_dropout).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(draw(*parameter.shape))
    gates, hidden = draw(ROWS, GATES[kind] * HIDDEN), draw(ROWS, HIDDEN)
    return cell, gates, hidden, draw(ROWS, HIDDEN) if kind == "lstm" else None


@kinds
def test_a_plain_cell_is_torchs(kind, tensors):
    cell, _, hidden, state = make(kind, tensors(0, torch.float64))
    projection = cell.input_projection(INPUT).double()
    one = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}[kind](INPUT, HIDDEN, dtype=torch.float64)
    one.load_state_dict(
        {
            "weight_ih": projection.weight,
            "bias_ih": projection.bias,
            "weight_hh": cell.hidden_projection.weight,
            "bias_hh": cell.hidden_projection.bias,
        }
    )
    inputs = tensors(1, torch.float64)(ROWS, INPUT)
    following, next_state = cell(projection(inputs), hidden, state)
    expected = one(inputs, hidden) if kind == "gru" else one(inputs, (hidden, state))
    expected, expected_state = (expected, None) if kind == "gru" else expected
    torch.testing.assert_close(following, expected, atol=1e-12, rtol=0)
    assert (next_state is None) == (expected_state is None)
    if kind == "lstm":
        torch.testing.assert_close(next_state, expected_state, atol=1e-12, rtol=0)


def normalised(values, norm):
    """gain * (a - mean) / std + bias of a list of numbers: Ba et al. (2016), section 3, with torch's epsilon."""
    mean = sum(values) / len(values)
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-5)
    gains, biases = norm.weight.tolist(), norm.bias.tolist()
    return [gain * (value - mean) / std + bias for value, gain, bias in zip(values, gains, biases, strict=True)]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def product(projection, hidden):
    biases = [0.0] * len(projection.weight) if projection.bias is None else projection.bias.tolist()
    rows = zip(projection.weight.tolist(), biases, strict=True)
    return [bias + sum(w * h for w, h in zip(weights, hidden, strict=True)) for weights, bias in rows]


def lstm_row(cell, gates, hidden, state, mask):
    """(i, f, g, o) = LN(W_h h) + LN(W_x x) + b; c' = s(f) c + s(i) d(tanh(g)); h' = s(o) tanh(LN(c')); lists."""
    recurrent = product(cell.hidden_projection, hidden)
    if cell.layer_norm:
        recurrent, gates = normalised(recurrent, cell.hidden_norm), normalised(gates, cell.input_norm)
    total = [one + other for one, other in zip(recurrent, gates, strict=True)]
    i, f, g, o = (total[k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
    units = range(HIDDEN)
    c = [sigmoid(f[k]) * state[k] + sigmoid(i[k]) * mask[k] * math.tanh(g[k]) for k in units]
    seen = normalised(c, cell.transition.cell_norm) if cell.layer_norm else c
    return [sigmoid(o[k]) * math.tanh(seen[k]) for k in units], c


def gru_row(cell, gates, hidden, state, mask):
    """(r, z) = s(LN(W_h h) + LN(W_x x)); n = tanh(LN(W x) + r LN(U h)); h' = (1 - z) d(n) + z h; lists."""
    recurrent, both = product(cell.hidden_projection, hidden), 2 * HIDDEN
    w, u, from_input, from_hidden = gates[both:], recurrent[both:], gates[:both], recurrent[:both]
    if cell.layer_norm:
        from_input, from_hidden = (
            normalised(from_input, cell.input_norm.norms[0]),
            normalised(from_hidden, cell.hidden_norm.norms[0]),
        )
        w, u = normalised(w, cell.input_norm.norms[1]), normalised(u, cell.hidden_norm.norms[1])
    opened = [sigmoid(one + other) for one, other in zip(from_input, from_hidden, strict=True)]
    r, z, units = opened[:HIDDEN], opened[HIDDEN:], range(HIDDEN)
    n = [mask[k] * math.tanh(w[k] + r[k] * u[k]) for k in units]
    return [(1 - z[k]) * n[k] + z[k] * hidden[k] for k in units], [0.0] * HIDDEN


class KnownMask(nn.Module):
    active = True

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, inputs):
        return inputs * self.mask


@kinds
@norms
@pytest.mark.parametrize("masked", [False, True])
def test_layer_norm_and_recurrent_dropout_are_the_papers(kind, layer_norm, masked, tensors):
    """Ba et al. (2016) and Semeniuta et al. (2016), number by number: no memory is dropped."""
    draw = tensors(2, torch.float64)
    cell, gates, hidden, state = make(kind, draw, layer_norm)
    mask = torch.ones(ROWS, HIDDEN)
    if masked:
        mask = 2.0 * (draw(ROWS, HIDDEN) > 0)
        assert 0 < (mask == 0).sum() < mask.numel()
        cell.transition.dropout = KnownMask(mask)
    following, next_state = cell(gates, hidden, state)
    by_row = lstm_row if kind == "lstm" else gru_row
    for row in range(ROWS):
        parts = (part[row].tolist() for part in (gates, hidden, hidden if state is None else state, mask))
        expected, expected_state = torch.tensor([*by_row(cell, *parts)], dtype=torch.float64)
        torch.testing.assert_close(following[row], expected, atol=1e-10, rtol=0)
        if kind == "lstm":
            torch.testing.assert_close(next_state[row], expected_state, atol=1e-10, rtol=0)


@kinds
@norms
def test_recurrent_dropout_changes_nothing_in_expectation_or_in_eval_mode(kind, layer_norm, tensors):
    p, draws = 0.25, 20_000
    cell, gates, hidden, state = make(kind, tensors(3, torch.float64), layer_norm, recurrent_dropout=p)
    gates, hidden, state = (
        None if part is None else part[:1].expand(draws, -1) for part in (gates, hidden, state)
    )  # the same row again and again
    torch.manual_seed(0)
    remembered = [
        new if state is None else new_state for new, new_state in (cell.train()(gates, hidden, state) for _ in range(2))
    ]
    following, next_state = cell.eval()(gates[:1], hidden[:1], None if state is None else state[:1])
    expected = (following if state is None else next_state)[0]
    assert not torch.equal(*remembered)  # fresh masks at every step
    for values, mean in zip(remembered[0].T, expected, strict=True):
        dropped, kept = sorted(values.unique().tolist(), key=lambda value: (values == value).sum())
        assert abs((values == kept).double().mean() - (1 - p)) < 5 * (p * (1 - p) / draws) ** 0.5
        torch.testing.assert_close(torch.tensor(p * dropped + (1 - p) * kept).double(), mean, atol=1e-6, rtol=1e-4)


@kinds
def test_layer_norm_takes_away_the_scale_of_weights_and_inputs(kind, tensors):
    """Invariance under re-scaling of the weight matrix: Ba et al. (2016), section 5.1; but for epsilon."""
    cell, gates, hidden, state = make(kind, tensors(4, torch.float64), layer_norm=True)
    expected = cell(gates, hidden, state)
    with torch.no_grad():
        cell.hidden_projection.weight.mul_(3)
    for part, expected_part in zip(cell(100 * gates, hidden, state), expected, strict=True):
        if part is not None:
            torch.testing.assert_close(part, expected_part, atol=1e-4, rtol=0)


@kinds
@norms
def test_a_projection_has_a_bias_only_where_it_is_not_normalised_away(kind, layer_norm):
    projection = Cell(kind, HIDDEN, layer_norm).input_projection(INPUT)
    assert projection.weight.shape == (GATES[kind] * HIDDEN, INPUT)
    assert (projection.bias is None) == layer_norm


@kinds
@norms
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_gradients_are_those_of_the_formula(kind, layer_norm, p, tensors):
    cell, *inputs = make(kind, tensors(5, torch.float64), layer_norm, p)
    inputs = [part[:2].requires_grad_() for part in inputs if part is not None]

    def run(gates, hidden, state=None):
        torch.manual_seed(0)  # the same mask each time
        return tuple(part for part in cell(gates, hidden, state) if part is not None)

    assert torch.autograd.gradcheck(run, inputs)


@kinds
@norms
def test_first_gains_are_one_and_the_forget_bias_is_one(kind, layer_norm, tensors):
    cell, *_ = make(kind, tensors(6, torch.float64), layer_norm)
    initialise(cell, HIDDEN)
    for block in cell.hidden_projection.weight.detach().split(HIDDEN):
        torch.testing.assert_close(block @ block.T, torch.eye(HIDDEN).double(), atol=1e-10, rtol=0)
    rest = {name: parameter for name, parameter in cell.named_parameters() if parameter.dim() == 1}
    total = sum(parameter.sum() for name, parameter in rest.items() if name.endswith("bias"))
    assert total == (HIDDEN if kind == "lstm" else 0)
    if kind == "lstm":
        bias = rest["hidden_norm.bias" if layer_norm else "hidden_projection.bias"]
        assert bias[HIDDEN : 2 * HIDDEN].tolist() == [1.0] * HIDDEN
    gains = [parameter for name, parameter in rest.items() if name.endswith("weight")]
    assert len(gains) == (0 if not layer_norm else 3 if kind == "lstm" else 4)
    assert all((gain == 1).all() for gain in gains)
