"""What the papers' decoders are made of: one sentence, one step and one source word at a time, in float64.

The cells are torch's own, the weights a module's.
"""

import torch
from torch import nn

from seq2seq.models.memory import Encoded, RNNState


def make_cell(weight_ih, weight_hh, bias_ih, bias_hh):
    """torch's GRUCell or LSTMCell: from an input (I,) and its last (hidden, cell) state to the next."""
    size = weight_hh.shape[1]
    is_gru = len(weight_hh) == 3 * size
    cell = (nn.GRUCell if is_gru else nn.LSTMCell)(weight_ih.shape[1], size, dtype=torch.float64)
    for parameter, weight in zip(cell.parameters(), (weight_ih, weight_hh, bias_ih, bias_hh), strict=True):
        parameter.data.copy_(weight.detach())

    def step(inputs, state):
        hidden, memory = state
        if is_gru:
            return cell(inputs[None], hidden[None])[0], None
        hidden, memory = cell(inputs[None], (hidden[None], memory[None]))
        return hidden[0], memory[0]

    return step


def fused_cells(rnn):
    """Those of an `RNN`."""
    return [make_cell(*layer.rnn.parameters()) for layer in rnn.layers]


def stepped_cells(rnn):
    """Those of a `SteppedRNN`; the bottom one reads [embedding; context]."""
    bottom = torch.cat([rnn.embedding_projection.weight, rnn.context_projection.weight], dim=1)
    inputs = [(bottom, rnn.embedding_projection.bias), *((dense.weight, dense.bias) for dense in rnn.input_projections)]
    own = [cell.hidden_projection for cell in rnn.cells]
    return [
        make_cell(weight, dense.weight, bias, dense.bias) for (weight, bias), dense in zip(inputs, own, strict=True)
    ]


def climb(cells, inputs, states, masks=()):
    """One step through all layers; `masks` multiply what each but the bottom one reads."""
    following = []
    for layer, (cell, state) in enumerate(zip(cells, states, strict=True)):
        following.append(cell(inputs * masks[layer - 1] if layer and masks else inputs, state))
        inputs = following[-1][0]
    return following


def attend(attention, query, states):
    """Weights (S,) and context (M,) of one query, the score's formula spelled out."""
    own = dict(attention.score.named_parameters())
    energies = []
    for h in states:
        if "energy.weight" in own:
            u, w = own["key_projection.weight"], own["query_projection.weight"]
            energies.append(own["energy.weight"][0] @ torch.tanh(w @ query + u @ h))
        elif own:
            energies.append(query @ own["key_projection.weight"] @ h)
        else:
            energies.append(query @ h)
    weights = torch.softmax(torch.stack(energies), dim=0)
    return weights, sum(weight * h for weight, h in zip(weights, states, strict=True))


class Scene:
    """A model's decoder and one sentence for it: embeddings (T, E), a memory of S states (M,), a first state."""

    def __init__(self, model, draw, steps=5, words=4):
        self.decoder, size = model.decoder.double(), model.encoder.output_size
        self.embedded, self.states = draw(steps, model.target_embedding.embedding_dim), draw(words, size)
        mask, final = torch.ones(1, words, dtype=torch.bool), RNNState(draw(2, 1, size), None)
        self.encoded = Encoded(self.states[None], mask, final)

    def run(self):
        """Features (T, F) and weights (T, S) of all steps at once."""
        source = self.decoder.prepare(self.encoded, None)
        features, weights, _ = self.decoder(self.embedded[None], self.decoder.start(self.encoded, source), source)
        return features[0], None if weights is None else weights[0]

    @property
    def first(self):
        """(hidden, cell) of each layer before the first step."""
        state = self.decoder.bridge(self.encoded.summary())
        cells = [None] * len(state.hidden) if state.cell is None else state.cell[:, 0]
        return list(zip(state.hidden[:, 0], cells, strict=True))
