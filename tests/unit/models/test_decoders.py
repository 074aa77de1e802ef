import functools
from contextlib import contextmanager
from itertools import product

import pytest
import torch
from torch import Tensor

from seq2seq.grid import Grid
from seq2seq.models.attention import Attention
from seq2seq.models.decoders import BahdanauDecoder, InputFeedingDecoder, LuongDecoder

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
BEFORE, AFTER = {"decoder.attend": "before_rnn"}, {"decoder.attend": "after_rnn"}
FED = AFTER | {"decoder.input_feeding": True}


def leaves(state):
    """The tensors and numbers of a state, however deep."""
    if isinstance(state, tuple):
        for part in state:
            yield from leaves(part)
    elif state is not None:
        yield state


def assert_same(state, expected):
    state, expected = list(leaves(state)), list(leaves(expected))
    assert len(state) == len(expected) > 0
    for part, other in zip(state, expected, strict=True):
        if isinstance(part, Tensor):
            torch.testing.assert_close(part, other, **TOLERANCE)
        else:
            assert part == other


@torch.no_grad()
def test_all_steps_at_once_are_the_steps_one_by_one(variant, model, pairs, pad):
    batch = pad(pairs)
    features, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    logits = model.output(features)
    assert logits.std() > 0.5  # large enough for a fault to show
    state = model.start(batch.source, batch.source_lengths)
    first, steps = state, []
    for tokens in batch.target_input.unbind(1):
        steps.append(model.step(tokens, state))
        state = steps[-1].state
    stepped = torch.stack([step.logits for step in steps], dim=1)
    torch.testing.assert_close(stepped[batch.target_mask], logits, **TOLERANCE)
    assert (weights is not None) == variant.attends
    if variant.attends:
        torch.testing.assert_close(torch.stack([step.weights for step in steps], dim=1), weights, **TOLERANCE)
    else:
        assert {step.weights for step in steps} == {None}

    embedded = model.target_embedding(batch.target_input)
    together = model.decoder(embedded, first.decoder, first.source)
    assert_same(together.state, state.decoder)
    begun = model.decoder(embedded[:, :2], first.decoder, first.source)
    rest = model.decoder(embedded[:, 2:], begun.state, first.source)
    assert_same(rest.state, state.decoder)
    torch.testing.assert_close(torch.cat([begun.features, rest.features], dim=1), together.features, **TOLERANCE)


@torch.no_grad()
def test_what_belongs_to_the_source_is_projected_once_a_batch(variant, model, monkeypatch, pairs, pad):
    batch, calls = pad(pairs), []

    def count(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda memory: calls.append(memory.shape[:2]) or function(memory))

    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    assert bool(attentions) == variant.attends
    for attention in attentions:
        count(attention.score, "project")
        for part, name in ((attention.value_projection, "forward"), (attention.coverage, "prepare")):
            if part is not None:
                count(part, name)
    model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    once = len(calls)
    assert once >= len(attentions)
    grid = Grid.full(3, 2)
    state = model.start(batch.source, batch.source_lengths).select(grid.owners(batch.source.device), grid)
    for tokens in torch.full((3, 6), 5):
        state = model.step(tokens, state).state.select(torch.arange(6).flip(0), grid)
    assert calls == [batch.source.shape] * (2 * once)  # of sentences, not of rows


# How often what is dear runs in teacher forcing.


@contextmanager
def counted(*modules):
    """The calls of each of the modules, by its place."""
    calls = [0] * len(modules)

    def add(place, *_):
        calls[place] += 1

    handles = [module.register_forward_hook(functools.partial(add, place)) for place, module in enumerate(modules)]
    yield calls
    for handle in handles:
        handle.remove()


@torch.no_grad()
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("coverage", ["none", "linguistic"])
def test_luongs_decoder_takes_all_steps_at_once(cell, coverage, build, pairs, pad):
    options = {"decoder": cell, "decoder.num_layers": 2, "attention.coverage": coverage}
    model, batch = build(options | AFTER), pad(pairs)
    decoder = model.decoder
    assert type(decoder) is LuongDecoder
    with counted(decoder.attention.score, decoder.readout, *(layer.rnn for layer in decoder.rnn.layers)) as calls:
        model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    steps = batch.target_input.shape[1]
    assert calls == [steps if coverage == "linguistic" else 1, 1, 1, 1]  # only coverage needs a loop, and it alone


@torch.no_grad()
def test_loops_over_steps_hold_only_what_depends_on_the_last_step(build, pairs, pad):
    batch = pad(pairs)
    steps = batch.target_input.shape[1]
    for options, kind, readouts in ((FED, InputFeedingDecoder, steps), (BEFORE, BahdanauDecoder, 1)):
        model = build({"decoder": "lstm"} | options)
        decoder = model.decoder
        assert type(decoder) is kind
        with counted(decoder.attention.score, decoder.rnn.embedding_projection, decoder.readout) as calls:
            model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
        assert calls == [steps, 1, readouts]


# The papers' decoders, one sentence and one step at a time.


class Noise:
    """The dropout of a loop over steps: masks for what upper layers read, and for what the readout does."""

    def __init__(self, steps, inside=None, after=None):
        self.inside = inside or [()] * steps
        self.after = [1.0] * steps if after is None else after


def bahdanau(papers, scene, noise, late=False):
    """a(s_{i-1}, h_j) -> c_i; s_i = f(s_{i-1}, [y_{i-1}; c_i]); t_i = tanh(W [s_i; y_{i-1}; c_i]).

    `late` is the other order: the RNN reads the last step's context (none at first), and then asks with s_i.
    """
    decoder, state, cells = scene.decoder, scene.first, papers.stepped_cells(scene.decoder.rnn)
    features, all_weights, context = [], [], torch.zeros_like(scene.states[0])
    for i, y in enumerate(scene.embedded):
        if late:
            state = papers.climb(cells, torch.cat([y, context]), state)
            weights, context = papers.attend(decoder.attention, state[-1][0], scene.states)
        else:
            weights, context = papers.attend(decoder.attention, state[-1][0], scene.states)
            state = papers.climb(cells, torch.cat([y, context]), state, noise.inside[i])
        read = torch.cat([state[-1][0], y, context]) * noise.after[i]
        features.append(torch.tanh(decoder.readout.projection(read)))
        all_weights.append(weights)
    return torch.stack(features), torch.stack(all_weights)


def luong(papers, scene, noise, early=False, feed=True):
    """h_t = f(h_{t-1}, y); a(h_t, h_s) -> c_t; h~_t = tanh(W_c [c_t; h_t]), fed to the next step if the RNN takes it.

    `early` is the other order: the query is the state before the RNN's step. Without `feed`, zeros are fed instead.
    """
    decoder, state = scene.decoder, scene.first
    fused = type(decoder) is LuongDecoder
    cells = papers.fused_cells(decoder.rnn) if fused else papers.stepped_cells(decoder.rnn)
    features, all_weights, fed = [], [], torch.zeros(decoder.readout.output_size, dtype=torch.float64)
    for t, y in enumerate(scene.embedded):
        query = state[-1][0]
        state = papers.climb(cells, y if fused else torch.cat([y, fed]), state, noise.inside[t])
        query = query if early else state[-1][0]
        weights, context = papers.attend(decoder.attention, query, scene.states)
        read = torch.cat([context, state[-1][0]]) * noise.after[t]
        features.append(torch.tanh(decoder.readout.projection(read)))
        fed = features[-1] if feed else fed
        all_weights.append(weights)
    return torch.stack(features), torch.stack(all_weights)


def differs(one, other):
    return (one - other).abs().max() > 0.005


ALL = list(product(["gru", "lstm"], [1, 2], ["bahdanau", "luong_dot", "luong_general", "luong_concat"]))
every_score = pytest.mark.parametrize(("cell", "layers", "attention"), ALL)


@pytest.fixture
def scene_of(build, tensors, papers, float64):
    def make(cell, layers, attention, place, **options):
        stack = {"decoder": cell, "decoder.num_layers": layers, "attention": attention}
        return papers.Scene(build(stack | place | options), tensors(2, torch.float64))

    return make


@torch.no_grad()
@every_score
def test_bahdanaus_decoder_asks_with_the_state_before_the_step(cell, layers, attention, scene_of, papers):
    scene = scene_of(cell, layers, attention, BEFORE)
    assert type(scene.decoder) is BahdanauDecoder
    features, weights = scene.run()
    for value, expected in zip((features, weights), bahdanau(papers, scene, Noise(5)), strict=True):
        torch.testing.assert_close(value, expected, **TOLERANCE)
    for value, other in zip((features, weights), bahdanau(papers, scene, Noise(5), late=True), strict=True):
        assert differs(value[0], other[0])
        assert differs(value[1:], other[1:])


@torch.no_grad()
@every_score
@pytest.mark.parametrize("place", [AFTER, FED], ids=["unfed", "fed"])
def test_luongs_decoder_asks_with_the_state_after_the_step(cell, layers, attention, place, scene_of, papers):
    scene = scene_of(cell, layers, attention, place)
    features, weights = scene.run()
    for value, expected in zip((features, weights), luong(papers, scene, Noise(5)), strict=True):
        torch.testing.assert_close(value, expected, **TOLERANCE)
    for value, other in zip((features, weights), luong(papers, scene, Noise(5), early=True), strict=True):
        assert differs(value, other)


@torch.no_grad()
@every_score
def test_input_feeding_feeds_the_last_attentional_vector_and_zeros_at_first(cell, layers, attention, scene_of, papers):
    scene = scene_of(cell, layers, attention, FED)
    features, _ = scene.run()
    unfed, _ = luong(papers, scene, Noise(5), feed=False)
    torch.testing.assert_close(features[0], unfed[0], **TOLERANCE)
    assert differs(features[1], unfed[1])


@torch.no_grad()
@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize(("place", "formula"), [(FED, luong), (BEFORE, bahdanau)], ids=["fed", "before"])
def test_dropout_in_a_loop_is_on_what_upper_layers_and_the_readout_read(place, formula, locked, scene_of, papers):
    options = {"decoder.dropout": 0.5, "decoder.locked_dropout": locked}
    scene = scene_of("lstm", 3, "luong_general", place, **options)
    decoder = scene.decoder.train()
    torch.manual_seed(5)
    features, weights = scene.run()
    torch.manual_seed(5)
    inside = [tuple(mask[0] for mask in masks) for masks in decoder.rnn.noise(1, 5, scene.embedded)]
    after = decoder.readout.dropout.noise(1, 5, decoder.readout.input_size, scene.embedded)[0]
    for value, expected in zip((features, weights), formula(papers, scene, Noise(5, inside, after)), strict=True):
        torch.testing.assert_close(value, expected, **TOLERANCE)
    same = [all(torch.equal(*masks) for masks in zip(step, inside[0], strict=True)) for step in inside[1:]]
    assert same == [locked] * 4
    assert [torch.equal(step, after[0]) for step in after[1:]] == [locked] * 4
