"""Decoders without attention."""

import pytest
import torch

from seq2seq.grid import Grid
from seq2seq.models.plain import Nothing, PlainDecoder, SourceVectorDecoder

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
NONE = {"attention": "none"}
EVERY_STEP = NONE | {"decoder.source_vector": "every_step"}
stacks = pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("gru", 2), ("lstm", 1), ("lstm", 2)])


@pytest.fixture
def scene_of(build, tensors, papers, float64):
    def make(options, cell="gru", layers=1):
        model = build(options | {"decoder": cell, "decoder.num_layers": layers})
        return papers.Scene(model, tensors(5, torch.float64))

    return make


@torch.no_grad()
@stacks
def test_only_the_first_state_knows_the_source(cell, layers, scene_of, papers):
    scene = scene_of(NONE, cell, layers)
    decoder, state = scene.decoder, scene.first
    assert type(decoder) is PlainDecoder
    assert not decoder.attends
    features, weights = scene.run()
    assert weights is None
    for y, found in zip(scene.embedded, features, strict=True):
        state = papers.climb(papers.fused_cells(decoder.rnn), y, state)
        torch.testing.assert_close(found, torch.tanh(decoder.readout.projection(state[-1][0])), **TOLERANCE)
    assert decoder.prepare(scene.encoded, None).select(torch.tensor([0])) == Nothing()


@torch.no_grad()
@stacks
def test_the_sources_vector_enters_every_step_and_every_output(cell, layers, scene_of, papers):
    """s_t = f(s_{t-1}, y_{t-1}, c), g(s_t, y_{t-1}, c): Cho et al. (2014), section 2.2; c is the final state."""
    scene = scene_of(EVERY_STEP, cell, layers)
    decoder, state, c = scene.decoder, scene.first, scene.encoded.final.hidden[-1, 0]
    assert type(decoder) is SourceVectorDecoder
    assert not decoder.attends
    features, weights = scene.run()
    assert weights is None
    for y, found in zip(scene.embedded, features, strict=True):
        state = papers.climb(papers.fused_cells(decoder.rnn), torch.cat([y, c]), state)
        expected = torch.tanh(decoder.readout.projection(torch.cat([state[-1][0], y, c])))
        torch.testing.assert_close(found, expected, **TOLERANCE)


@torch.no_grad()
def test_without_a_final_state_the_vector_is_the_memorys_mean(scene_of):
    scene = scene_of(EVERY_STEP)
    mask = torch.tensor([[True, True, False, True]])
    source = scene.decoder.prepare(scene.encoded._replace(final=None, mask=mask), None)
    torch.testing.assert_close(source.vector[0], (scene.states[0] + scene.states[1] + scene.states[3]) / 3)


@torch.no_grad()
def test_beams_share_their_sentences_vector(scene_of, tensors):
    scene, draw = scene_of(EVERY_STEP), tensors(6, torch.float64)
    decoder, vectors = scene.decoder, draw(3, scene.states.shape[1])
    source = decoder.prepare(scene.encoded, None)._replace(vector=vectors)
    state, embedded = decoder.start(scene.encoded, source), draw(4, scene.embedded.shape[1])
    rows, sentences = torch.zeros(4, dtype=torch.long), torch.tensor([2, 0])
    found = decoder.step(embedded, state.select(rows), source.select(sentences), Grid.full(2, 2))
    for row, sentence in enumerate([2, 2, 0, 0]):
        own = source._replace(vector=vectors[sentence : sentence + 1])
        alone = decoder.step(embedded[row : row + 1], state, own, Grid.full(1))
        torch.testing.assert_close(found.features[row], alone.features[0], **TOLERANCE)


@pytest.mark.parametrize(("options", "rnn_calls"), [(NONE, 2), (EVERY_STEP, 2)])
def test_all_steps_run_at_once(options, rnn_calls, scene_of):
    decoder = (scene := scene_of(options, layers=2)).decoder
    calls = []
    for layer in decoder.rnn.layers:
        layer.rnn.register_forward_hook(lambda *_: calls.append("rnn"))
    decoder.readout.register_forward_hook(lambda *_: calls.append("readout"))
    scene.run()
    assert calls == ["rnn"] * rnn_calls + ["readout"]
