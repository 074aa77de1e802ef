from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from seq2seq.models import rnn as rnn_module
from seq2seq.models.memory import RNNState
from seq2seq.models.recurrence import run_layer
from seq2seq.models.rnn import RNN, FusedLayer, RNNSpec, SteppedRNN

INPUT, HIDDEN = 5, 4
GATES = {"gru": 3, "lstm": 4}
FUSED = {"gru": nn.GRU, "lstm": nn.LSTM}
OPTIONS = {
    "plain": {},
    "residual": {"residual": True},
    "locked": {"locked_dropout": True},
    "layer_norm": {"layer_norm": True},
    "recurrent": {"recurrent_dropout": 0.3},
    "all": {"residual": True, "locked_dropout": True, "layer_norm": True, "recurrent_dropout": 0.3},
}
KERNELS = ["plain", "residual", "locked"]  # those that torch's kernels can do

cells = pytest.mark.parametrize("cell", ["gru", "lstm"])
layer_counts = pytest.mark.parametrize("layers", [1, 2, 3])
options = pytest.mark.parametrize("option", OPTIONS)


def spec_of(cell, layers, option, dropout=0.3):
    return RNNSpec(cell, layers, dropout, **OPTIONS[option])


def shaken(module, seed=0):
    """With random numbers in all weights and biases."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


def state_of(cell, draw, layers, rows, hidden=HIDDEN):
    return RNNState(draw(layers, rows, hidden), draw(layers, rows, hidden) if cell == "lstm" else None)


def assert_states(state, expected):
    assert (state.cell is None) == (expected.cell is None)
    for part, expected_part in zip(state, expected, strict=True):
        if part is not None:
            torch.testing.assert_close(part, expected_part, atol=1e-6, rtol=1e-5)


def in_steps(rnn, inputs, state):
    outputs = []
    for step in inputs.unbind(1):
        output, state = rnn.step(step, state)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state


@cells
@layer_counts
@options
@pytest.mark.parametrize(
    "size", [INPUT, HIDDEN]
)  # a bottom layer whose input could and could not be added to its output
def test_stacked_steps_are_the_layers_over_all_steps(cell, layers, option, size, tensors):
    rnn, draw = shaken(RNN(spec_of(cell, layers, option), size, HIDDEN)), tensors(1)
    inputs, state = draw(3, 6, size), state_of(cell, draw, layers, 3)
    outputs, final = rnn(inputs, state)
    stepped, last = in_steps(rnn, inputs, state)
    torch.testing.assert_close(stepped, outputs, atol=1e-6, rtol=1e-5)
    assert_states(last, final)


@cells
@layer_counts
@pytest.mark.parametrize("option", KERNELS)
@pytest.mark.parametrize("training", [False, True])
def test_kernels_over_all_steps_run_wherever_they_can(cell, layers, option, training, tensors, monkeypatch):
    calls, fused = [], FUSED[cell].forward
    monkeypatch.setattr(FUSED[cell], "forward", lambda self, *args: calls.append(self) or fused(self, *args))
    rnn, draw = RNN(spec_of(cell, layers, option), INPUT, HIDDEN).train(training), tensors(2)
    rnn(draw(3, 6, INPUT), state_of(cell, draw, layers, 3))
    assert len(calls) == len(set(calls)) == layers
    whole = []
    monkeypatch.setattr(rnn_module, "run_layer", lambda *args: whole.append(args) or run_layer(*args))
    rnn.encode(draw(3, 6, INPUT), torch.tensor([2, 6, 4]))  # on a CPU, ours are faster with sentences of many lengths
    assert len(whole) == layers
    assert len(calls) == layers


@cells
@layer_counts
def test_stepped_layers_are_torchs_on_joined_inputs(cell, layers, tensors):
    context_size = 3
    stepped, draw = shaken(SteppedRNN(spec_of(cell, layers, "plain"), INPUT, context_size, HIDDEN)), tensors(2)
    fused = FUSED[cell](INPUT + context_size, HIDDEN, layers, batch_first=True)
    own = dict(stepped.named_parameters())
    with torch.no_grad():
        for layer in range(layers):
            lower = "embedding_projection" if layer == 0 else f"input_projections.{layer - 1}"
            inputs = [own[f"{lower}.weight"], *([own["context_projection.weight"]] if layer == 0 else [])]
            getattr(fused, f"weight_ih_l{layer}").copy_(torch.cat(inputs, dim=1))
            getattr(fused, f"bias_ih_l{layer}").copy_(own[f"{lower}.bias"])
            getattr(fused, f"weight_hh_l{layer}").copy_(own[f"cells.{layer}.hidden_projection.weight"])
            getattr(fused, f"bias_hh_l{layer}").copy_(own[f"cells.{layer}.hidden_projection.bias"])
    assert sum(p.numel() for p in stepped.parameters()) == sum(p.numel() for p in fused.parameters())

    embedded, context, state = draw(3, 6, INPUT), draw(3, 6, context_size), state_of(cell, draw, layers, 3)
    first = state.hidden if state.cell is None else (state.hidden, state.cell)
    expected, final = fused(torch.cat([embedded, context], dim=-1), first)
    projected = stepped.project(embedded)
    outputs = []
    for step in range(6):
        output, state = stepped.step(projected[:, step], context[:, step], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, dim=1), expected, atol=1e-6, rtol=1e-5)
    assert_states(state, RNNState(final, None) if cell == "gru" else RNNState(*final))


@cells
@layer_counts
@pytest.mark.parametrize("option", ["layer_norm", "all"])
def test_stepped_layers_are_looped_ones_on_joined_inputs(cell, layers, option, tensors):
    """So that layer normalisation is over the whole of the bottom layer's gates, not the embeddings' and the context's
    apart."""
    context_size = 3
    looped = shaken(RNN(spec_of(cell, layers, option), INPUT + context_size, HIDDEN))
    stepped, draw = SteppedRNN(spec_of(cell, layers, option), INPUT, context_size, HIDDEN).eval(), tensors(3)
    with torch.no_grad():
        bottom = looped.layers[0].projections[0].weight
        stepped.embedding_projection.weight.copy_(bottom[:, :INPUT])
        stepped.context_projection.weight.copy_(bottom[:, INPUT:])
    for layer in range(layers):
        stepped.cells[layer].load_state_dict(looped.layers[layer].cells[0].state_dict())
        if layer > 0:
            stepped.input_projections[layer - 1].load_state_dict(looped.layers[layer].projections[0].state_dict())
    assert sum(p.numel() for p in stepped.parameters()) == sum(p.numel() for p in looped.parameters())

    embedded, context, state = draw(3, INPUT), draw(3, context_size), state_of(cell, draw, layers, 3)
    expected, following = looped.step(torch.cat([embedded, context], dim=-1), state)
    output, own_following = stepped.step(stepped.project(embedded), context, state)
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)
    assert_states(own_following, following)


def one_step(layer, cell, direction):
    """One layer's step in one direction, by torch's cell or, where torch has none, by ours (see test_cells)."""
    if hasattr(layer, "cells"):
        return lambda inputs, *last: layer.cells[direction](layer.projections[direction](inputs), *last)
    suffix = "_reverse" if direction else ""
    one = (nn.GRUCell if cell == "gru" else nn.LSTMCell)(layer.rnn.input_size, HIDDEN)
    one.load_state_dict({name: getattr(layer.rnn, f"{name}_l0{suffix}") for name in RECURRENT})
    if cell == "gru":
        return lambda inputs, hidden, _: (one(inputs, hidden), None)
    return lambda inputs, *last: one(inputs, last)


def run_alone(rnn, cell, residual, directions, inputs):
    """Memory (S, D*H) and final state, each (L, D*H), of one sentence (S, I), a cell and a word at a time."""
    finals, final_cells = [], []
    for index, layer in enumerate(rnn.layers):
        outputs, last_hidden, last_cells = [], [], []
        for direction in range(directions):
            step = one_step(layer, cell, direction)
            hidden, cell_state = torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN)
            words = reversed(range(len(inputs))) if direction else range(len(inputs))
            at = {}
            for word in words:
                hidden, cell_state = step(inputs[word : word + 1], hidden, cell_state)
                at[word] = hidden
            outputs.append(torch.cat([at[word] for word in range(len(inputs))]))
            last_hidden.append(hidden[0])
            last_cells.append(hidden[0] if cell_state is None else cell_state[0])
        memory = torch.cat(outputs, dim=1)
        inputs = memory + inputs if residual and index > 0 else memory
        finals.append(torch.cat(last_hidden))
        final_cells.append(torch.cat(last_cells))
    return inputs, torch.stack(finals), torch.stack(final_cells)


RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@cells
@layer_counts
@options
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("fitting", [False, True])  # inputs of the outputs' size
def test_an_encoded_sentence_knows_nothing_of_padding(cell, layers, option, bidirectional, fitting, tensors):
    directions = 1 + bidirectional
    size = directions * HIDDEN if fitting else INPUT
    rnn, draw = shaken(RNN(spec_of(cell, layers, option), size, HIDDEN, bidirectional)), tensors(3)
    sentences = [draw(length, size) for length in (3, 6, 1, 4)]
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    padded = pad_sequence([*sentences, torch.zeros(8, size)], batch_first=True, padding_value=float("nan"))[:-1]
    with torch.no_grad():
        memory, final = rnn.encode(padded, lengths)
        assert memory.shape == (4, 8, HIDDEN * directions)
        assert (memory[torch.arange(8) >= lengths[:, None]] == 0).all()
        for row, sentence in enumerate(sentences):
            residual = OPTIONS[option].get("residual", False)
            outputs, hidden, cell_state = run_alone(rnn, cell, residual, directions, sentence)
            torch.testing.assert_close(memory[row, : len(sentence)], outputs, atol=1e-6, rtol=1e-5)
            assert_states(
                final.select(torch.tensor([row])),
                RNNState(hidden[:, None], cell_state[:, None] if cell == "lstm" else None),
            )
            alone, alone_final = rnn.encode(sentence[None], lengths[row : row + 1])
            torch.testing.assert_close(memory[row, : len(sentence)], alone[0], atol=1e-6, rtol=1e-5)
            assert_states(final.select(torch.tensor([row])), alone_final)


@cells
@options
@pytest.mark.parametrize("kind", ["forward", "encode", "stepped"])
def test_gradients_reach_everything_and_padding_sends_none(cell, option, kind, tensors):
    spec, draw = spec_of(cell, 2, option, dropout=0.0), tensors(4)
    module = SteppedRNN(spec, 2 * HIDDEN, 3, HIDDEN) if kind == "stepped" else RNN(spec, 8, HIDDEN, kind == "encode")
    shaken(module).train()
    inputs, state = draw(3, 6, 8), state_of(cell, draw, 2, 3)
    inputs[0, 4:] = float("nan") if kind == "encode" else 0.0
    inputs.requires_grad_()
    if kind == "encode":
        outputs, state = module.encode(inputs, torch.tensor([4, 6, 6]))
    elif kind == "forward":
        outputs, state = module(inputs, state)
    else:
        outputs = torch.zeros(3, HIDDEN)
        for projected in module.project(inputs).unbind(1):
            output, state = module.step(projected, draw(3, 3), state)
            outputs = outputs + output
    (outputs.square().sum() + state.hidden.sum()).backward()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert (parameter.grad != 0).any()
    assert (inputs.grad[0, :4] != 0).any(dim=1).all()
    if kind == "encode":
        assert (inputs.grad[0, 4:] == 0).all()


class Recorder(nn.Module):
    """What goes into a dropout and what comes out."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, inputs):
        outputs = self.inner(inputs)
        self.seen.append((inputs, outputs))
        return outputs


@cells
@pytest.mark.parametrize("option", ["plain", "residual", "locked", "layer_norm"])
@pytest.mark.parametrize("kind", ["forward", "encode"])
def test_dropout_is_on_what_upper_layers_read(cell, option, kind, tensors):
    rnn, draw = shaken(RNN(spec_of(cell, 3, option, dropout=0.5), HIDDEN, HIDDEN)).train(), tensors(5)
    rnn.dropout = Recorder(rnn.dropout)
    inputs, state = draw(8, 6, HIDDEN), RNNState(*(None if p is None else 0 * p for p in state_of(cell, draw, 3, 8)))
    outputs, _ = rnn(inputs, state) if kind == "forward" else rnn.encode(inputs, torch.full((8,), 6))
    between = rnn.dropout.seen
    assert len(between) == 2

    # Each layer by itself, on what it has read.
    reads = [inputs, *(after for _, after in between)]
    given = [*(before for before, _ in between), outputs]
    added = [0.0, *(before for before, _ in between)]  # nothing is added around the bottom layer
    for layer, read, output, residual in zip(rnn.layers, reads, given, added, strict=True):
        own, _ = layer(read, RNNState(*(None if part is None else part[:1] for part in state)))
        expected = own + residual if option == "residual" else own
        torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)
    for before, after in between:
        zero = after == 0
        assert torch.equal(after, torch.where(zero, 0.0, 2 * before))
        assert 0 < zero.sum() < zero.numel()
        assert torch.equal(zero, zero[:, :1].expand_as(zero)) == (option == "locked")
        assert len(torch.unique(zero[:, 0], dim=0)) > 1
    assert not torch.equal(*(after == 0 for _, after in between))  # a mask a layer


@pytest.mark.parametrize("locked", [False, True])
def test_noise_of_stepped_layers_is_a_mask_for_each_upper_layer(locked):
    stepped = SteppedRNN(RNNSpec("gru", 3, dropout=0.5, locked_dropout=locked), INPUT, 2, HIDDEN).train()
    torch.manual_seed(0)
    noise = stepped.noise(20, 6, like=torch.empty(1, dtype=torch.float64))
    assert len(noise) == 6
    masks = torch.stack([torch.stack(step) for step in noise])  # (T, L - 1, R, H)
    assert masks.shape == (6, 2, 20, HIDDEN)
    assert masks.dtype == torch.float64
    assert set(masks.flatten().tolist()) == {0.0, 2.0}
    assert all(torch.equal(masks[0], later) == locked for later in masks[1:])
    assert not torch.equal(masks[:, 0], masks[:, 1])
    assert len(torch.unique(masks[0, 0], dim=0)) > 1

    assert stepped.eval().noise(20, 6, like=torch.empty(1)) == [None] * 6
    for nothing in (RNNSpec("gru", 1, dropout=0.5), RNNSpec("gru", 3)):
        assert SteppedRNN(nothing, INPUT, 2, HIDDEN).train().noise(20, 6, like=torch.empty(1)) == [None] * 6


@cells
@pytest.mark.parametrize("residual", [False, True])
def test_noise_multiplies_what_upper_stepped_layers_read(cell, residual, tensors):
    spec, draw = RNNSpec(cell, 3, dropout=0.5, residual=residual), tensors(6)
    stepped = shaken(SteppedRNN(spec, INPUT, 2, HIDDEN)).train()
    embedded, context, state = draw(7, INPUT), draw(7, 2), state_of(cell, draw, 3, 7)
    torch.manual_seed(0)
    (noise,) = stepped.noise(7, 1, like=embedded)
    output, following = stepped.step(stepped.project(embedded), context, state, noise)

    last = [(state.hidden[k], None if state.cell is None else state.cell[k]) for k in range(3)]
    gates = stepped.embedding_projection(embedded) + stepped.context_projection(context)
    states = [stepped.cells[0](gates, *last[0])]
    below = states[0][0]
    for layer in (1, 2):
        gates = stepped.input_projections[layer - 1](below * noise[layer - 1])
        states.append(stepped.cells[layer](gates, *last[layer]))
        below = states[-1][0] + below if residual else states[-1][0]
    torch.testing.assert_close(output, below, atol=1e-6, rtol=1e-5)
    hidden, cell_states = zip(*states, strict=True)
    assert_states(following, RNNState(torch.stack(hidden), torch.stack(cell_states) if cell == "lstm" else None))
    assert not torch.allclose(output, stepped.step(stepped.project(embedded), context, state)[0])


@cells
@options
@pytest.mark.parametrize("training", [False, True])
def test_states_stay_in_float32_under_autocast(cell, option, training, tensors):
    draw = tensors(7)
    rnn = shaken(RNN(spec_of(cell, 2, option), HIDDEN, HIDDEN)).train(training)
    stepped = shaken(SteppedRNN(spec_of(cell, 2, option), INPUT, 3, HIDDEN)).train(training)
    inputs, embedded, context, state = draw(3, 6, HIDDEN), draw(3, INPUT), draw(3, 3), state_of(cell, draw, 2, 3)
    exact, _ = in_steps(rnn.eval(), inputs, state)
    rnn.train(training)
    with torch.autocast("cpu", torch.bfloat16):
        (noise,) = stepped.noise(3, 1, like=embedded)
        results = [rnn.step(inputs[:, 0], state), stepped.step(stepped.project(embedded), context, state, noise)]
        outputs, _ = rnn(inputs, state)
        memory, _ = rnn.encode(inputs, torch.tensor([2, 6, 4]))
        (outputs.float().sum() + memory.float().sum() + sum(output.sum() for output, _ in results)).backward()
    for output, following in results:
        assert output.dtype == torch.float32
        assert all(part is None or part.dtype == torch.float32 for part in following)
    if not training:
        torch.testing.assert_close(outputs.float(), exact, atol=0.1, rtol=0.05)


@options
@pytest.mark.parametrize("below", [torch.float32, torch.bfloat16])
def test_a_cpu_without_bf16_runs_the_lstm_in_float32(option, below, tensors, monkeypatch):
    """oneDNN has no bf16 LSTM for CPUs without AVX-512, and torch's fails there under autocast."""
    monkeypatch.setattr("seq2seq.models.rnn.has_bf16", lambda: False)
    draw = tensors(8)
    rnn = shaken(RNN(spec_of("lstm", 1, option), HIDDEN, HIDDEN)).eval()
    inputs, state = draw(3, 6, HIDDEN).to(below), state_of("lstm", draw, 1, 3)
    expected, _ = rnn(inputs.float(), state)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = rnn(inputs, state)
    if isinstance(rnn.layers[0], FusedLayer):
        assert torch.equal(outputs, expected)
    outputs.float().sum().backward()


# The last two could be mistaken for each other by a shape alone: a GRU's 3 * 4 = 12 = 4 * 3 rows, or sizes all equal.
SHAPES = [
    ("gru", 7, 5, 6),
    ("lstm", 7, 5, 6),
    ("gru", 3, 12, 4),
    ("lstm", 4, 4, 4),
    ("gru", 4, 4, 4),
    ("lstm", 3, 16, 4),
]


@pytest.mark.parametrize(("cell", "embedding", "context", "hidden"), SHAPES)
@pytest.mark.parametrize("kind", ["fused", "both ways", "looped both ways", "stepped"])
def test_first_weights(kind, cell, embedding, context, hidden):
    torch.manual_seed(1)
    if kind == "stepped":
        module = SteppedRNN(RNNSpec(cell, 2), embedding, context, hidden)
    else:
        spec = RNNSpec(cell, 2, recurrent_dropout=0.1 if kind == "looped both ways" else 0.0)
        module = RNN(spec, embedding, hidden, bidirectional=kind != "fused")
    biases, recurrent, inputs = {}, 0, []
    for name, parameter in module.named_parameters():
        assert parameter.shape[0] == GATES[cell] * hidden
        if parameter.dim() == 1:
            biases[name] = parameter.detach()
            continue
        for block in parameter.detach().split(hidden):  # one gate's
            if "weight_hh" in name or "hidden_projection" in name:
                recurrent += 1
                torch.testing.assert_close(block @ block.T, torch.eye(hidden), atol=1e-5, rtol=0)
            else:
                inputs.append((block / (6 / sum(block.shape)) ** 0.5).flatten())
    glorot = torch.cat(inputs)  # uniform numbers from -1 to 1
    assert 0.9 < glorot.abs().max() <= 1
    assert 0.45 < glorot.std() < 0.7
    assert recurrent == GATES[cell] * 2 * (2 if kind.endswith("both ways") else 1)

    # A layer's two biases (a direction's, too) are added up: the forget gate's come to 1, all others to 0.
    ordered = list(biases.values())
    if kind == "stepped":
        ordered = [biases[f"{name}.bias"] for name in STEPPED_BIASES]
    elif kind == "looped both ways":
        ordered = [biases[f"layers.{name}.bias"] for name in LOOPED_BIASES]
    for one, other in list(pairwise(ordered))[::2]:
        expected = torch.zeros(GATES[cell] * hidden)
        if cell == "lstm":
            expected[hidden : 2 * hidden] = 1
        assert torch.equal(one + other, expected)


HIDDEN_BIASES = [f"cells.{index}.hidden_projection" for index in (0, 1)]
STEPPED_BIASES = ["embedding_projection", HIDDEN_BIASES[0], "input_projections.0", HIDDEN_BIASES[1]]
LOOPED_BIASES = [
    f"{layer}.{name}" for layer in (0, 1) for d in (0, 1) for name in (f"projections.{d}", HIDDEN_BIASES[d])
]


@cells
def test_states_of_some_rows_in_another_order(cell, tensors):
    state = state_of(cell, tensors(4), 2, 5)
    chosen = state.select(torch.tensor([4, 0, 0]))
    assert_states(chosen, RNNState(*(None if part is None else part[:, [4, 0, 0]] for part in state)))
