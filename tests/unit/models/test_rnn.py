from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from seq2seq.models.memory import RNNState
from seq2seq.models.rnn import RNN, SteppedRNN

INPUT, HIDDEN = 5, 4
GATES = {"gru": 3, "lstm": 4}
FUSED = {"gru": nn.GRU, "lstm": nn.LSTM}

cells = pytest.mark.parametrize("cell", ["gru", "lstm"])
layer_counts = pytest.mark.parametrize("layers", [1, 2, 3])


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


@cells
@layer_counts
def test_stacked_steps_are_the_fused_layers(cell, layers, tensors):
    rnn, draw = shaken(RNN(cell, INPUT, HIDDEN, layers, dropout=0.3)), tensors(1)
    inputs, state = draw(3, 6, INPUT), state_of(cell, draw, layers, 3)
    outputs, final = rnn(inputs, state)
    stepped = []
    for step in inputs.unbind(1):
        output, state = rnn.step(step, state)
        stepped.append(output)
    torch.testing.assert_close(torch.stack(stepped, dim=1), outputs, atol=1e-6, rtol=1e-5)
    assert_states(state, final)


@cells
@layer_counts
def test_stepped_layers_are_torchs_on_joined_inputs(cell, layers, tensors):
    context_size = 3
    stepped, draw = shaken(SteppedRNN(cell, INPUT, context_size, HIDDEN, layers, dropout=0.3)), tensors(2)
    fused = FUSED[cell](INPUT + context_size, HIDDEN, layers, batch_first=True)
    own = dict(stepped.named_parameters())
    with torch.no_grad():
        for layer in range(layers):
            lower = "embedding_projection" if layer == 0 else f"input_projections.{layer - 1}"
            inputs = [own[f"{lower}.weight"], *([own["context_projection.weight"]] if layer == 0 else [])]
            getattr(fused, f"weight_ih_l{layer}").copy_(torch.cat(inputs, dim=1))
            getattr(fused, f"bias_ih_l{layer}").copy_(own[f"{lower}.bias"])
            getattr(fused, f"weight_hh_l{layer}").copy_(own[f"hidden_projections.{layer}.weight"])
            getattr(fused, f"bias_hh_l{layer}").copy_(own[f"hidden_projections.{layer}.bias"])
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


def run_alone(rnn, cell, inputs):
    """Memory (S, D*H) and final state, each (L, D*H), of one sentence (S, I), a cell and a word at a time."""
    directions = ["", "_reverse"] if rnn.layers.bidirectional else [""]
    finals, final_cells = [], []
    for layer in range(rnn.layers.num_layers):
        outputs, last_hidden, last_cells = [], [], []
        for direction in directions:
            weights = {name: getattr(rnn.layers, f"{name}_l{layer}{direction}") for name in RECURRENT}
            one = (nn.GRUCell if cell == "gru" else nn.LSTMCell)(inputs.shape[1], HIDDEN)
            one.load_state_dict(weights)
            hidden, cell_state = torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN)
            words = range(len(inputs)) if direction == "" else reversed(range(len(inputs)))
            at = {}
            for word in words:
                if cell == "gru":
                    hidden = one(inputs[word : word + 1], hidden)
                else:
                    hidden, cell_state = one(inputs[word : word + 1], (hidden, cell_state))
                at[word] = hidden
            outputs.append(torch.cat([at[word] for word in range(len(inputs))]))
            last_hidden.append(hidden[0])
            last_cells.append(cell_state[0])
        inputs = torch.cat(outputs, dim=1)
        finals.append(torch.cat(last_hidden))
        final_cells.append(torch.cat(last_cells))
    return inputs, torch.stack(finals), torch.stack(final_cells)


RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@cells
@layer_counts
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_encoded_sentence_knows_nothing_of_padding(cell, layers, bidirectional, tensors):
    rnn, draw = shaken(RNN(cell, INPUT, HIDDEN, layers, 0.3, bidirectional)), tensors(3)
    sentences = [draw(length, INPUT) for length in (3, 6, 1, 4)]
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    padded = pad_sequence([*sentences, torch.zeros(8, INPUT)], batch_first=True, padding_value=float("nan"))[:-1]
    with torch.no_grad():
        memory, final = rnn.encode(padded, lengths)
        assert memory.shape == (4, 8, HIDDEN * (1 + bidirectional))
        assert (memory[torch.arange(8) >= lengths[:, None]] == 0).all()
        for row, sentence in enumerate(sentences):
            outputs, hidden, cell_state = run_alone(rnn, cell, sentence)
            torch.testing.assert_close(memory[row, : len(sentence)], outputs, atol=1e-6, rtol=1e-5)
            assert_states(
                final.select(torch.tensor([row])),
                RNNState(hidden[:, None], cell_state[:, None] if cell == "lstm" else None),
            )
            alone, alone_final = rnn.encode(sentence[None], lengths[row : row + 1])
            torch.testing.assert_close(memory[row, : len(sentence)], alone[0], atol=1e-6, rtol=1e-5)
            assert_states(final.select(torch.tensor([row])), alone_final)


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
@pytest.mark.parametrize("kind", ["fused", "both ways", "stepped"])
def test_first_weights(kind, cell, embedding, context, hidden):
    torch.manual_seed(1)
    if kind == "stepped":
        module = SteppedRNN(cell, embedding, context, hidden, 2, dropout=0.0)
    else:
        module = RNN(cell, embedding, hidden, 2, 0.0, bidirectional=kind == "both ways")
    biases, recurrent, inputs = {}, 0, []
    for name, parameter in module.named_parameters():
        assert parameter.shape[0] == GATES[cell] * hidden
        if parameter.dim() == 1:
            biases[name] = parameter.detach()
            continue
        for block in parameter.detach().split(hidden):  # one gate's
            if "weight_hh" in name or "hidden_projections" in name:
                recurrent += 1
                torch.testing.assert_close(block @ block.T, torch.eye(hidden), atol=1e-5, rtol=0)
            else:
                inputs.append((block / (6 / sum(block.shape)) ** 0.5).flatten())
    glorot = torch.cat(inputs)  # uniform numbers from -1 to 1
    assert 0.9 < glorot.abs().max() <= 1
    assert 0.45 < glorot.std() < 0.7
    assert recurrent == GATES[cell] * 2 * (2 if kind == "both ways" else 1)

    # A layer's two biases (a direction's, too) are added up: the forget gate's come to 1, all others to 0.
    ordered = list(biases.values())
    if kind == "stepped":
        ordered = [biases[f"{name}.bias"] for name in STEPPED_BIASES]
    for one, other in list(pairwise(ordered))[::2]:
        expected = torch.zeros(GATES[cell] * hidden)
        if cell == "lstm":
            expected[hidden : 2 * hidden] = 1
        assert torch.equal(one + other, expected)


STEPPED_BIASES = ("embedding_projection", "hidden_projections.0", "input_projections.0", "hidden_projections.1")


@cells
def test_states_of_some_rows_in_another_order(cell, tensors):
    state = state_of(cell, tensors(4), 2, 5)
    chosen = state.select(torch.tensor([4, 0, 0]))
    assert_states(chosen, RNNState(*(None if part is None else part[:, [4, 0, 0]] for part in state)))
