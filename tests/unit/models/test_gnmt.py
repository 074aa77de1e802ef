import pytest
import torch

from seq2seq.models.gnmt import GNMTDecoder

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
STEPS = 5
shapes = pytest.mark.parametrize(
    ("cell", "layers", "residual"),
    [("lstm", 2, True), ("lstm", 3, True), ("lstm", 3, False), ("gru", 2, False), ("gru", 3, True)],
)


@pytest.fixture
def scene_of(build, tensors, papers, float64):
    def make(cell="lstm", layers=2, residual=True, **options):
        shape = {"decoder.cell": cell, "decoder.num_layers": layers, "decoder.residual": residual}
        model = build({"decoder": "gnmt", "attention": "bahdanau"} | shape | options)
        return papers.Scene(model, tensors(1, torch.float64), STEPS)

    return make


def gnmt(papers, scene, residual, masks, after, asks=0):
    """a(s^1_{i-1}, h) -> c_i; s^1_i = f([y_{i-1}; c_i]); s^l_i = f([x^{l-1}_i; c_i]); x^l = s^l + x^{l-1}, x^1 = s^1.

    The output is tanh(W [x^L_i; c_i]). `masks` are on x at each step below each upper layer, `after` on [x; c]. `asks`
    is the layer whose last state is the query, the bottom one in the paper.
    """
    decoder, states = scene.decoder, scene.first
    bottom, uppers = papers.stepped_cells(decoder.bottom)[0], [papers.fused_cells(rnn)[0] for rnn in decoder.upper]
    features, all_weights = [], []
    for i, y in enumerate(scene.embedded):
        weights, c = papers.attend(decoder.attention, states[asks][0], scene.states)
        following = [bottom(torch.cat([y, c]), states[0])]
        x = following[0][0]
        for layer, cell in enumerate(uppers, start=1):
            following.append(cell(torch.cat([x * masks[layer - 1][i], c]), states[layer]))
            x = following[-1][0] + x if residual else following[-1][0]
        states = following
        features.append(torch.tanh(decoder.readout.projection(torch.cat([x, c]) * after[i])))
        all_weights.append(weights)
    return torch.stack(features), torch.stack(all_weights)


NONE = [[1.0] * STEPS] * 2, [1.0] * STEPS


@torch.no_grad()
@shapes
def test_the_bottom_layer_asks_and_every_layer_reads_the_context(cell, layers, residual, scene_of, papers):
    scene = scene_of(cell, layers, residual)
    assert type(scene.decoder) is GNMTDecoder
    found = scene.run()
    for value, expected in zip(found, gnmt(papers, scene, residual, *NONE), strict=True):
        torch.testing.assert_close(value, expected, **TOLERANCE)
    for other in (gnmt(papers, scene, not residual, *NONE), gnmt(papers, scene, residual, *NONE, asks=-1)):
        assert (found[0] - other[0]).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("locked", [False, True])
def test_dropout_is_on_what_upper_layers_read_but_not_on_their_context(locked, scene_of, papers):
    scene = scene_of(layers=3, **{"decoder.dropout": 0.5, "decoder.locked_dropout": locked})
    decoder = scene.decoder.train()
    torch.manual_seed(2)
    found = scene.run()
    torch.manual_seed(2)
    like = scene.embedded
    masks = [decoder.dropout(like.new_ones(1, STEPS, decoder.bottom.hidden_size))[0] for _ in decoder.upper]
    after = decoder.readout.dropout(like.new_ones(1, STEPS, decoder.readout.input_size))[0]
    for value, expected in zip(found, gnmt(papers, scene, True, masks, after), strict=True):
        torch.testing.assert_close(value, expected, **TOLERANCE)
    for mask in (*masks, after):
        assert all(torch.equal(step, mask[0]) for step in mask) == locked


@torch.no_grad()
def test_only_the_bottom_layer_and_attention_loop_over_steps(scene_of):
    scene, calls = scene_of(layers=3), []

    def count(module, name):
        module.register_forward_hook(lambda *_: calls.append(name))

    decoder = scene.decoder
    count(decoder.bottom.embedding_projection, "projection")
    count(decoder.attention.score, "score")
    for rnn in decoder.upper:
        count(rnn.layers[0].rnn, "upper")
    count(decoder.readout, "readout")
    scene.run()
    assert calls == ["projection", *["score"] * STEPS, "upper", "upper", "readout"]
