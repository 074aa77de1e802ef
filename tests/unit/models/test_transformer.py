import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seq2seq.errors import ConfigError
from seq2seq.models.encoders import padding_mask
from seq2seq.models.positions import Learned, Positions, Rotary, Sinusoidal
from seq2seq.models.transformer import RESIDUALS, FeedForward, LayerSpec, SelfAttention, TransformerEncoder

EMBEDDING, SIZE, HEADS, FEEDFORWARD, LAYERS = 5, 8, 2, 11, 3
LENGTHS = torch.tensor([4, 1, 6])
WIDTH = 7
CPU = torch.device("cpu")

POSITIONS = {
    "sinusoidal": lambda: Sinusoidal(),
    "learned": lambda: Learned(WIDTH, EMBEDDING, std=1.0),
    "rotary": lambda: Rotary(SIZE // HEADS),
}


def seeded(build):
    """What `build` builds, in float64, with no bias zero and no gain one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build().double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def encoder_of(norm="pre", positions="sinusoidal", embedding_size=EMBEDDING, dropout=0.0, scale=2.0):
    spec = LayerSpec(SIZE, HEADS, FEEDFORWARD, RESIDUALS[norm], dropout)
    return seeded(lambda: TransformerEncoder(embedding_size, LAYERS, spec, POSITIONS[positions](), scale))


@pytest.fixture
def sentences(tensors):
    embedded = tensors(0, torch.float64)(len(LENGTHS), WIDTH, EMBEDDING)
    embedded[~padding_mask(LENGTHS, WIDTH, CPU)] = 1e3  # whatever stands at padding
    return embedded


def attended(attention, inputs, seen, positions):
    """Self-attention of one sentence, a product at a time; query t sees key s where seen(t, s)."""
    length, size = inputs.shape
    head_size = size // HEADS
    output = torch.zeros(length, size, dtype=torch.float64)
    query_rows, key_rows, value_rows = attention.projection.weight.split(size)
    query_bias, key_bias, value_bias = attention.projection.bias.split(size)
    for head in range(HEADS):
        part = slice(head * head_size, (head + 1) * head_size)

        def place(vector, position):
            return positions.rotate(vector.view(1, 1, 1, -1), position).flatten()

        queries = [place(query_rows[part] @ x + query_bias[part], t) for t, x in enumerate(inputs)]
        keys = [place(key_rows[part] @ x + key_bias[part], t) for t, x in enumerate(inputs)]
        values = [value_rows[part] @ x + value_bias[part] for x in inputs]
        for t in range(length):
            numerators = {
                s: math.exp(float(queries[t] @ keys[s]) / math.sqrt(head_size)) for s in range(length) if seen(t, s)
            }
            for s, numerator in numerators.items():
                output[t, part] += numerator / sum(numerators.values()) * values[s]
    return output @ attention.output.weight.T + attention.output.bias


@pytest.mark.parametrize("positions", [Positions(), Rotary(SIZE // HEADS)], ids=["plain", "rotary"])
@torch.no_grad()
def test_self_attention_is_the_papers(tensors, positions):
    attention = seeded(lambda: SelfAttention(SIZE, HEADS))
    inputs = tensors(1, torch.float64)(2, 5, SIZE)
    lengths = torch.tensor([5, 3])
    seen = padding_mask(lengths, 5, CPU)[:, None, None]
    found = attention(inputs, positions, seen)
    causal, _ = attention.extend(inputs, positions, attention.start(2, inputs))
    for row, length in enumerate(lengths.tolist()):
        expected = attended(attention, inputs[row], lambda t, s, length=length: s < length, positions)
        torch.testing.assert_close(found[row], expected)
        torch.testing.assert_close(causal[row], attended(attention, inputs[row], lambda t, s: s <= t, positions))


@torch.no_grad()
def test_feed_forward_network(tensors):
    network = seeded(lambda: FeedForward(SIZE, FEEDFORWARD))
    inputs = tensors(2, torch.float64)(2, 3, SIZE)
    inner, outer = network.inner, network.outer
    expected = (inputs @ inner.weight.T + inner.bias).clamp(min=0) @ outer.weight.T + outer.bias
    torch.testing.assert_close(network(inputs), expected)


def torchs(encoder, norm):
    """torch's own encoder with the same weights."""
    layer = nn.TransformerEncoderLayer(
        SIZE, HEADS, FEEDFORWARD, dropout=0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    final = nn.LayerNorm(SIZE, dtype=torch.float64) if norm == "pre" else None
    if final is not None:
        final.load_state_dict(encoder.last.state_dict())
    oracle = nn.TransformerEncoder(layer, LAYERS, final, enable_nested_tensor=False)
    for ours, theirs in zip(encoder.layers, oracle.layers, strict=True):
        theirs.self_attn.in_proj_weight.copy_(ours.attention.projection.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.attention.projection.bias)
        for mine, other in [
            (ours.attention.output, theirs.self_attn.out_proj),
            (ours.feedforward.inner, theirs.linear1),
            (ours.feedforward.outer, theirs.linear2),
            (ours.around_attention.norm, theirs.norm1),
            (ours.around_feedforward.norm, theirs.norm2),
        ]:
            other.load_state_dict(mine.state_dict())
    return oracle.train()  # its other path, of fused kernels, is for inference


@pytest.mark.parametrize("norm", RESIDUALS)
@torch.no_grad()
def test_pre_norm_and_post_norm_are_torchs(sentences, norm):
    encoder = encoder_of(norm)
    mask = padding_mask(LENGTHS, WIDTH, CPU)
    bottom = Sinusoidal()(2.0 * sentences) @ encoder.input.weight.T + encoder.input.bias
    expected = torchs(encoder, norm)(bottom, src_key_padding_mask=~mask)
    encoded = encoder(sentences, LENGTHS)
    torch.testing.assert_close(encoded.memory[mask], expected[mask])
    assert (encoded.memory[~mask] == 0).all()
    assert torch.equal(encoded.mask, mask)
    assert encoded.final is None
    assert encoded.values is None
    assert encoder.output_size == SIZE


def test_no_map_between_equal_sizes(tensors):
    assert sum(p.numel() for p in encoder_of(embedding_size=SIZE).input.parameters()) == 0
    assert encoder_of(embedding_size=SIZE)(tensors(3, torch.float64)(1, 2, SIZE), torch.tensor([2])).memory.shape[2]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", RESIDUALS)
def test_padding_and_company_change_nothing(sentences, norm, positions, training):
    encoder = encoder_of(norm, positions).float().train(training)
    embedded = sentences.float()
    together = encoder(embedded, LENGTHS).memory
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(embedded[row : row + 1, :length], LENGTHS[row : row + 1]).memory[0]
        torch.testing.assert_close(together[row, :length], alone, atol=1e-5, rtol=1e-5)


def test_padding_gets_no_gradient(sentences):
    sentences.requires_grad_()
    encoder_of()(sentences, LENGTHS).memory.sum().backward()
    mask = padding_mask(LENGTHS, WIDTH, CPU)
    assert (sentences.grad[~mask] == 0).all()
    assert (sentences.grad[mask] != 0).all()


@pytest.mark.parametrize("norm", RESIDUALS)
def test_a_sentence_without_words_is_zero_and_harms_nobody(sentences, norm, monkeypatch):
    encoder = encoder_of(norm)
    kernel = F.scaled_dot_product_attention

    def checked(*args, attn_mask):
        assert attn_mask.any(dim=-1).all()  # not every kernel knows what to do with nothing
        return kernel(*args, attn_mask=attn_mask)

    monkeypatch.setattr(F, "scaled_dot_product_attention", checked)
    memory = encoder(sentences, torch.tensor([4, 0, 6])).memory
    assert (memory[1] == 0).all()
    memory.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
    torch.testing.assert_close(memory[[0, 2]], encoder(sentences, LENGTHS).memory[[0, 2]])


@pytest.mark.parametrize("positions", POSITIONS)
def test_order_is_known_through_positions_alone(tensors, positions):
    embedded, lengths = tensors(4, torch.float64)(1, 5, EMBEDDING), torch.tensor([5])
    encoder = encoder_of(positions=positions)
    order = [3, 0, 4, 1, 2]
    assert not torch.allclose(encoder(embedded[:, order], lengths).memory, encoder(embedded, lengths).memory[:, order])
    encoder.positions = Positions()
    torch.testing.assert_close(encoder(embedded[:, order], lengths).memory, encoder(embedded, lengths).memory[:, order])


def test_every_layer_runs_torchs_kernel(sentences, monkeypatch):
    calls = []
    kernel = F.scaled_dot_product_attention

    def counted(*args, **kwargs):
        calls.append(kwargs)
        return kernel(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    encoder_of().train()(sentences, LENGTHS)
    assert len(calls) == LAYERS
    assert all(call.get("dropout_p", 0.0) == 0.0 for call in calls)


@pytest.mark.parametrize("norm", RESIDUALS)
def test_dropout_in_training_only(sentences, norm):
    encoder = encoder_of(norm, dropout=0.5)
    still = encoder.eval()(sentences, LENGTHS).memory
    assert torch.equal(still, encoder_of(norm)(sentences, LENGTHS).memory)
    moving = encoder.train()(sentences, LENGTHS).memory
    mask = padding_mask(LENGTHS, WIDTH, CPU)
    assert not torch.isclose(moving[mask], still[mask]).all(dim=1).any()
    assert (moving[~mask] == 0).all()


class Nothing(nn.Module):
    """What dropout leaves at a rate of 1."""

    def forward(self, inputs):
        return torch.zeros_like(inputs)


@pytest.mark.parametrize("norm", RESIDUALS)
@torch.no_grad()
def test_dropout_is_on_all_that_sublayers_add_and_on_the_words_with_their_positions(sentences, norm):
    encoder = encoder_of(norm)
    for layer in encoder.layers:
        layer.around_attention.dropout = layer.around_feedforward.dropout = Nothing()
    norms = {
        "pre": [encoder.last],
        "post": [
            norm for layer in encoder.layers for norm in (layer.around_attention.norm, layer.around_feedforward.norm)
        ],
    }
    words = Sinusoidal()(2.0 * sentences[2:, :6])
    for kept in (words, torch.zeros_like(words)):
        expected = encoder.input(kept)
        for normalise in norms[norm]:
            expected = normalise(expected)
        torch.testing.assert_close(encoder(sentences[2:, :6], LENGTHS[2:]).memory, expected)
        encoder.dropout = Nothing()


@pytest.mark.parametrize("positions", [Positions(), Rotary(SIZE // HEADS)], ids=["plain", "rotary"])
@pytest.mark.parametrize("cuts", [[1, 1, 1, 1, 1, 1], [3, 3], [2, 1, 3]], ids=str)
@torch.no_grad()
def test_causal_attention_in_any_portions_is_the_same(tensors, positions, cuts):
    attention = seeded(lambda: SelfAttention(SIZE, HEADS)).float()
    inputs = tensors(5)(2, 6, SIZE)
    whole, full = attention.extend(inputs, positions, attention.start(2, inputs))
    cache, parts = attention.start(2, inputs), []
    for part in inputs.split(cuts, dim=1):
        output, cache = attention.extend(part, positions, cache)
        parts.append(output)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
    for kept, expected in zip(cache, full, strict=True):
        assert kept.shape == (2, HEADS, 6, SIZE // HEADS)
        torch.testing.assert_close(kept, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_caches_rows_can_be_reordered_and_repeated(tensors):
    attention, positions = seeded(lambda: SelfAttention(SIZE, HEADS)).float(), Rotary(SIZE // HEADS)
    inputs, following = tensors(6)(3, 4, SIZE), tensors(7)(4, 1, SIZE)
    _, cache = attention.extend(inputs, positions, attention.start(3, inputs))
    rows = torch.tensor([2, 0, 0, 1])
    found, _ = attention.extend(following, positions, cache.select(rows))
    whole = torch.cat([inputs[rows], following], dim=1)
    expected, _ = attention.extend(whole, positions, attention.start(4, inputs))
    torch.testing.assert_close(found[:, 0], expected[:, -1], atol=1e-5, rtol=1e-5)
    start = attention.start(3, inputs).select(rows)
    assert start.keys.shape == (4, HEADS, 0, SIZE // HEADS)


def test_a_cache_is_kept_in_autocasts_type(tensors):
    attention = SelfAttention(SIZE, HEADS)
    inputs = tensors(8)(2, 3, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        _, cache = attention.extend(inputs, Rotary(SIZE // HEADS), attention.start(2, inputs))
    assert cache.keys.dtype == cache.values.dtype == torch.bfloat16


def test_heads_share_out_the_size():
    with pytest.raises(ConfigError, match=r"hidden_size=8 can't be split into num_heads=3 heads of equal size"):
        SelfAttention(8, 3)


@pytest.mark.parametrize("norm", RESIDUALS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_gradients(tensors, norm, positions):
    encoder = encoder_of(norm, positions)
    embedded = tensors(9, torch.float64)(2, 3, EMBEDDING).requires_grad_()
    lengths = torch.tensor([3, 2])
    assert torch.autograd.gradcheck(lambda inputs: encoder(inputs, lengths).memory, embedded, fast_mode=True)
