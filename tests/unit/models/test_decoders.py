from itertools import product

import pytest
import torch
from torch import nn

from seq2seq.models.decoders import BahdanauDecoder, InputFeedingDecoder, LuongDecoder, PlainDecoder
from seq2seq.models.memory import Encoded, RNNState

CLASSES = {
    ("none", False): PlainDecoder,
    ("before_rnn", False): BahdanauDecoder,
    ("after_rnn", False): LuongDecoder,
    ("after_rnn", True): InputFeedingDecoder,
}


@torch.no_grad()
def test_all_steps_at_once_are_the_steps_one_by_one(variant, model, pairs, pad):
    batch = pad(pairs)
    assert type(model.decoder) is CLASSES[variant.attend, variant.input_feeding]
    logits, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    state = model.start(batch.source, batch.source_lengths, beams=1)
    stepped_logits, stepped_weights = [], []
    for tokens in batch.target_input.unbind(1):
        step = model.step(tokens, state)
        state = step.state
        stepped_logits.append(step.logits)
        stepped_weights.append(step.weights)
    assert logits.std() > 0.5  # large enough for the tolerance to mean something
    torch.testing.assert_close(torch.stack(stepped_logits, dim=1)[batch.target_mask], logits, atol=1e-5, rtol=1e-5)
    if variant.attention == "none":
        assert weights is None
        assert set(stepped_weights) == {None}
    else:
        torch.testing.assert_close(torch.stack(stepped_weights, dim=1), weights, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_decoders_last_state_is_that_of_its_last_step(variant, model, tensors, pad, pairs):
    batch, embedded = pad(pairs), tensors(1)(5, 4, 5)
    state = model.start(batch.source, batch.source_lengths, beams=1)
    last = model.decoder(embedded, state.decoder, state.memory).state
    stepped = state.decoder
    for inputs in embedded.unbind(1):
        stepped = model.decoder.step(inputs, stepped, state.memory).state
    for part, expected in zip((*last.rnn, last.fed), (*stepped.rnn, stepped.fed), strict=True):
        assert (part is None) == (expected is None)
        if part is not None:
            torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_keys_are_projected_once_a_batch(variant, model, monkeypatch, pairs, pad):
    batch, calls = pad(pairs), []
    if variant.attention != "none":
        score = model.decoder.attention.score
        project = score.project
        monkeypatch.setattr(score, "project", lambda memory: calls.append(memory.shape) or project(memory))
    model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    state = model.start(batch.source, batch.source_lengths, beams=3)
    for tokens in torch.full((4, 15), 5):
        state = model.step(tokens, state).state.select(torch.arange(15).flip(0))
    assert calls == ([] if variant.attention == "none" else [(5, 9, 8)] * 2)  # five sentences, not fifteen rows


# The papers' decoders, one sentence and one step at a time, with torch's cells and the module's weights.


class Cells:
    """A stack of torch's cells on [embedding; whatever else is fed]."""

    def __init__(self, decoder):
        rnn, hidden_size = decoder.rnn, None
        own = dict(rnn.named_parameters())
        self.cells = []
        self.fused = "context_projection.weight" not in own
        count = sum("weight_hh" in name or ("hidden_projections" in name and "weight" in name) for name in own)
        for layer in range(count):
            if self.fused:
                weights = [own[f"layers.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            else:
                lower, upper = f"input_projections.{layer - 1}", f"hidden_projections.{layer}"
                if layer == 0:
                    lower = "embedding_projection"
                weight_ih = own[f"{lower}.weight"]
                if layer == 0:
                    weight_ih = torch.cat([weight_ih, own["context_projection.weight"]], dim=1)
                weights = [weight_ih, own[f"{upper}.weight"], own[f"{lower}.bias"], own[f"{upper}.bias"]]
            hidden_size = weights[1].shape[1]
            kind = nn.GRUCell if len(weights[1]) == 3 * hidden_size else nn.LSTMCell
            cell = kind(weights[0].shape[1], hidden_size)
            for parameter, weight in zip(cell.parameters(), weights, strict=True):
                parameter.copy_(weight)
            self.cells.append(cell)

    def step(self, inputs, state):
        following = []
        for cell, (hidden, cell_state) in zip(self.cells, state, strict=True):
            if isinstance(cell, nn.GRUCell):
                hidden = cell(inputs[None], hidden[None])[0]
            else:
                hidden, cell_state = (part[0] for part in cell(inputs[None], (hidden[None], cell_state[None])))
            following.append((hidden, cell_state))
            inputs = hidden
        return following


def attended(attention, query, states):
    """Weights (S,) and context (M,) of one query, with the score's formula spelled out."""
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


def first_of(state):
    """(hidden, cell) of each layer, of the only row."""
    cells = state.hidden if state.cell is None else state.cell
    return [(hidden[0], cell[0]) for hidden, cell in zip(state.hidden, cells, strict=True)]


def bahdanau(decoder, embedded, state, states, late=False):
    """a(s_{i-1}, h_j) -> c_i; s_i = f(s_{i-1}, [y_{i-1}; c_i]); t_i = tanh(W [s_i; y_{i-1}; c_i]).

    `late` is the other order: the RNN reads the last step's context (none at first), and then asks with s_i.
    """
    cells, features, all_weights = Cells(decoder), [], []
    context = torch.zeros_like(states[0])
    for y in embedded:
        if late:
            state = cells.step(torch.cat([y, context]), state)
            weights, context = attended(decoder.attention, state[-1][0], states)
        else:
            weights, context = attended(decoder.attention, state[-1][0], states)
            state = cells.step(torch.cat([y, context]), state)
        features.append(torch.tanh(decoder.readout.projection(torch.cat([state[-1][0], y, context]))))
        all_weights.append(weights)
    return torch.stack(features), torch.stack(all_weights)


def luong(decoder, embedded, state, states, early=False, feed=True):
    """h_t = f(h_{t-1}, y); a(h_t, h_s) -> c_t; h~_t = tanh(W_c [c_t; h_t]), fed to the next step if the RNN takes it.

    `early` is the other order: the query is the state before the RNN's step. Without `feed`, zeros are fed instead.
    """
    cells, features, all_weights = Cells(decoder), [], []
    fed = torch.zeros(decoder.readout.output_size)
    for y in embedded:
        query = state[-1][0]
        state = cells.step(y if cells.fused else torch.cat([y, fed]), state)
        weights, context = attended(decoder.attention, query if early else state[-1][0], states)
        attentional = torch.tanh(decoder.readout.projection(torch.cat([context, state[-1][0]])))
        fed = attentional if feed else fed
        features.append(attentional)
        all_weights.append(weights)
    return torch.stack(features), torch.stack(all_weights)


def plain(decoder, embedded, state):
    cells, features = Cells(decoder), []
    for y in embedded:
        state = cells.step(y, state)
        features.append(torch.tanh(decoder.readout.projection(state[-1][0])))
    return torch.stack(features)


class Scene:
    """A decoder and one sentence for it: embeddings (T, E), a first state, a memory of S states."""

    def __init__(self, model, draw, steps=5, words=4):
        self.decoder = model.decoder
        size = model.bridge.hidden[0].out_features
        layers = len(model.bridge.hidden)
        self.embedded = draw(steps, 5)
        self.first = RNNState(draw(layers, 1, size), draw(layers, 1, size) if len(model.bridge.cell) else None)
        self.states = draw(words, 8)
        encoded = Encoded(self.states[None], torch.ones(1, words, dtype=torch.bool), None)
        self.memory = None if self.decoder.attention is None else self.decoder.attention.prepare(encoded)

    def run(self):
        features, weights, _ = self.decoder(self.embedded[None], self.decoder.start(self.first), self.memory)
        return features[0], None if weights is None else weights[0]

    def reference(self, formula, **options):
        return formula(self.decoder, self.embedded, first_of(self.first), self.states, **options)


def differs(one, other):
    return (one - other).abs().max() > 0.02


ALL = list(product(["gru", "lstm"], [1, 2], ["bahdanau", "luong_dot", "luong_general", "luong_concat"]))
every_score = pytest.mark.parametrize(("cell", "layers", "attention"), ALL)


@torch.no_grad()
@every_score
def test_bahdanaus_decoder_asks_with_the_state_before_the_step(cell, layers, attention, build, tensors):
    scene = Scene(build("gru", cell, layers, attention, "before_rnn", False), tensors(2))
    features, weights = scene.run()
    for value, expected in zip((features, weights), scene.reference(bahdanau), strict=True):
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    for value, other in zip((features, weights), scene.reference(bahdanau, late=True), strict=True):
        assert differs(value[0], other[0])
        assert differs(value[1:], other[1:])


@torch.no_grad()
@every_score
@pytest.mark.parametrize("input_feeding", [False, True])
def test_luongs_decoder_asks_with_the_state_after_the_step(cell, layers, attention, input_feeding, build, tensors):
    scene = Scene(build("gru", cell, layers, attention, "after_rnn", input_feeding), tensors(3))
    features, weights = scene.run()
    for value, expected in zip((features, weights), scene.reference(luong), strict=True):
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    for value, other in zip((features, weights), scene.reference(luong, early=True), strict=True):
        assert differs(value, other)


@torch.no_grad()
@every_score
def test_input_feeding_feeds_the_last_attentional_vector_and_zeros_at_first(cell, layers, attention, build, tensors):
    scene = Scene(build("gru", cell, layers, attention, "after_rnn", True), tensors(4))
    features, _ = scene.run()
    unfed, _ = scene.reference(luong, feed=False)
    torch.testing.assert_close(features[0], unfed[0], atol=1e-5, rtol=1e-5)
    assert differs(features[1], unfed[1])


@torch.no_grad()
@pytest.mark.parametrize(("cell", "layers"), list(product(["gru", "lstm"], [1, 2])))
def test_without_attention_only_the_first_state_knows_the_source(cell, layers, build, tensors):
    scene = Scene(build("gru", cell, layers, "none", "none", False), tensors(5))
    features, weights = scene.run()
    assert weights is None
    torch.testing.assert_close(
        features, plain(scene.decoder, scene.embedded, first_of(scene.first)), atol=1e-5, rtol=1e-5
    )
