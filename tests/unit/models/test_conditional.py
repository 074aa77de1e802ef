import pytest
import torch

from seq2seq.models.conditional import ConditionalGRUDecoder

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}


@pytest.fixture(params=["bahdanau", "luong_general", "luong_dot"])
def scene(request, build, tensors, papers, float64):
    model = build({"decoder": "conditional_gru", "attention": request.param})
    return papers.Scene(model, tensors(1, torch.float64))


def transitions(papers, decoder):
    """GRU_1 and GRU_2 as torch's cells."""
    own = decoder.transition
    parts = [(own.embedding_projection, own.first), (own.context_projection, own.second)]
    return [
        papers.make_cell(dense.weight, cell.hidden_projection.weight, dense.bias, cell.hidden_projection.bias)
        for dense, cell in parts
    ]


@torch.no_grad()
@pytest.mark.parametrize("asks", ["between", "before"])
def test_attention_stands_between_two_transitions_of_one_state(asks, scene, papers):
    """s'_i = GRU_1(y_{i-1}, s_{i-1}); a(s'_i, h) -> c_i; s_i = GRU_2(c_i, s'_i); tanh(W [s_i; y_{i-1}; c_i])."""
    decoder = scene.decoder
    state = torch.tanh(decoder.bridge.hidden[0](scene.states.mean(dim=0))), None  # s_0, from the mean of the memory
    assert type(decoder) is ConditionalGRUDecoder
    first, second = transitions(papers, decoder)
    features, all_weights = scene.run()
    worst = 0.0
    for y, found, seen in zip(scene.embedded, features, all_weights, strict=True):
        before = state
        between = first(y, state)
        query = between if asks == "between" else before
        weights, context = papers.attend(decoder.attention, query[0], scene.states)
        state = second(context, between)
        expected = torch.tanh(decoder.readout.projection(torch.cat([state[0], y, context])))
        worst = max(worst, float((found - expected).abs().max()), float((seen - weights).abs().max()))
    assert worst < 1e-9 if asks == "between" else worst > 0.01


@torch.no_grad()
def test_the_embeddings_product_and_the_readout_take_all_steps_at_once(scene):
    calls, decoder = [], scene.decoder
    for name, part in (
        ("embedding", decoder.transition.embedding_projection),
        ("score", decoder.attention.score),
        ("readout", decoder.readout),
    ):
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
    scene.run()
    assert calls == ["embedding", *["score"] * len(scene.embedded), "readout"]
