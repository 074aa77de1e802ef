import pytest
import torch

from seq2seq.models.dropout import Dropout, make_dropout
from seq2seq.models.readout import MaxoutReadout, Readout

TOLERANCE = {"atol": 1e-12, "rtol": 0}
PARTS = (3, 4, 2)
FEATURES = 5


@pytest.fixture(params=[Readout, MaxoutReadout])
def readout(request):
    torch.manual_seed(0)
    made = request.param(sum(PARTS), FEATURES, Dropout(0.0)).double()
    torch.nn.init.normal_(made.projection.bias)
    return made


def parts_of(draw, *shape):
    return [draw(*shape, size) for size in PARTS]


def test_tanh_of_one_product_with_all_parts(tensors):
    readout, parts = Readout(sum(PARTS), FEATURES, Dropout(0.0)).double(), parts_of(tensors(1, torch.float64), 2)
    matrices = readout.projection.weight.split(PARTS, dim=1)
    for row in range(2):
        products = [matrix @ part[row] for matrix, part in zip(matrices, parts, strict=True)]
        expected = torch.tanh(sum(products) + readout.projection.bias)
        torch.testing.assert_close(readout(*parts)[row], expected, **TOLERANCE)


def test_maxout_keeps_the_larger_of_each_two_neighbours(tensors):
    """t_j = max(t~_2j-1, t~_2j), j from 1."""
    readout = MaxoutReadout(sum(PARTS), FEATURES, Dropout(0.0)).double()
    parts = parts_of(tensors(2, torch.float64), 2, 3)
    units = readout.projection(torch.cat(parts, dim=-1))  # t~
    assert units.shape == (2, 3, 2 * FEATURES)
    features = readout(*parts)
    for j in range(FEATURES):
        assert torch.equal(features[..., j], torch.maximum(units[..., 2 * j], units[..., 2 * j + 1]))
    assert features.min() < 0  # of a maxout, unlike a rectifier


def test_parts_in_another_type_take_that_of_the_first(tensors):
    readout, parts = Readout(sum(PARTS), FEATURES, Dropout(0.0)), parts_of(tensors(3), 2)
    mixed = readout(parts[0], parts[1].double(), parts[2].double())
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, readout(*parts))


@pytest.mark.parametrize("locked", [False, True])
def test_a_loop_over_steps_drops_what_all_steps_at_once_drop(readout, locked, tensors):
    parts = parts_of(tensors(4, torch.float64), 2, 6)
    readout.dropout = make_dropout(0.5, locked)
    readout.train()
    torch.manual_seed(1)
    together = readout(*parts)
    torch.manual_seed(1)
    noise = readout.noise(2, 6, parts[0])
    assert {step.shape for step in noise} == {(2, sum(PARTS))}
    for t, step in enumerate(noise):
        alone = readout(*(part[:, t] for part in parts), noise=step)
        torch.testing.assert_close(alone, together[:, t], **TOLERANCE)
        assert torch.equal(step, noise[0]) == (locked or t == 0)
    assert not torch.allclose(together, readout.eval()(*parts))
    assert readout.noise(2, 6, parts[0]) == [None] * 6


@torch.no_grad()
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_bahdanaus_maxout_reads_the_state_before_the_step(cell, build, tensors, papers, float64):
    """t~_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i: Bahdanau et al. (2015), appendix A.2.2."""
    options = {"decoder": cell, "decoder.num_layers": 2, "decoder.attend": "before_rnn", "decoder.readout": "maxout"}
    scene = papers.Scene(build(options), tensors(5, torch.float64))
    decoder, state = scene.decoder, scene.first
    cells, output = papers.stepped_cells(decoder.rnn), decoder.readout.projection
    size, words = decoder.rnn.hidden_size, scene.embedded.shape[1]
    u, v, c = output.weight.split([size, words, scene.states.shape[1]], dim=1)
    features, weights = scene.run()
    for y, found, seen in zip(scene.embedded, features, weights, strict=True):
        expected, context = papers.attend(decoder.attention, state[-1][0], scene.states)
        units = u @ state[-1][0] + v @ y + c @ context + output.bias
        torch.testing.assert_close(found, torch.stack([pair.max() for pair in units.split(2)]), atol=1e-9, rtol=0)
        torch.testing.assert_close(seen, expected, atol=1e-9, rtol=0)
        state = papers.climb(cells, torch.cat([y, context]), state)


@torch.no_grad()
def test_luongs_maxout_reads_the_state_after_the_step(build, tensors, papers, float64):
    scene = papers.Scene(build({"decoder.attend": "after_rnn", "decoder.readout": "maxout"}), tensors(6, torch.float64))
    decoder, state = scene.decoder, scene.first
    for y, found in zip(scene.embedded, scene.run()[0], strict=True):
        state = papers.climb(papers.fused_cells(decoder.rnn), y, state)
        _, context = papers.attend(decoder.attention, state[-1][0], scene.states)
        units = decoder.readout.projection(torch.cat([context, state[-1][0]]))
        torch.testing.assert_close(found, units.view(-1, 2).amax(1), atol=1e-9, rtol=0)
