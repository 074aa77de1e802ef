import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seq2seq.errors import DataError
from seq2seq.grid import Grid
from seq2seq.models.attention import Treatment
from seq2seq.models.dropout import Dropout
from seq2seq.models.encoders import padding_mask
from seq2seq.models.memory import Encoded
from seq2seq.models.multi_head import MultiHeadAttention
from seq2seq.models.normalizers import softmax
from seq2seq.models.positions import Learned, Rotary, Sinusoidal
from seq2seq.models.priors import DiagonalPrior
from seq2seq.models.scores import MultiHeadScore, ScaledDotScore
from seq2seq.models.transformer import RESIDUALS, LayerSpec
from seq2seq.models.transformer_decoder import TransformerDecoder
from seq2seq.models.windows import GlobalWindow, MonotonicWindow

EMBEDDING, SIZE, HEADS, FEEDFORWARD, LAYERS, MEMORY, FEATURES = 5, 8, 2, 11, 3, 6, 7
STEPS, BEAMS, SCALE = 5, 3, 2.0
SOURCE_LENGTHS = torch.tensor([4, 1, 6])
SOURCE_WIDTH = 8
CPU = torch.device("cpu")
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}

POSITIONS = {
    "sinusoidal": lambda: Sinusoidal(),
    "learned": lambda: Learned(STEPS, EMBEDDING, std=1.0),
    "rotary": lambda: Rotary(SIZE // HEADS),
}

# window and prior of the attention to the source; some move with the target's steps
LOOKS = {
    "plain": lambda: (GlobalWindow(), None),
    "prior": lambda: (GlobalWindow(), DiagonalPrior(1.0, 2.0, 1.0)),
    "window": lambda: (MonotonicWindow(1), None),
}


def attention_of(look, memory_size, context_size, dropout):
    values = nn.Linear(memory_size, SIZE, bias=False)
    treatment = Treatment(softmax, *look(), None, values, Dropout(dropout), 1.0)
    score = MultiHeadScore(SIZE, memory_size, SIZE, [ScaledDotScore() for _ in range(HEADS)])
    return MultiHeadAttention(score, treatment, SIZE, context_size)


def build(
    norm="pre", positions="sinusoidal", look=LOOKS["plain"], layers=LAYERS, dropout=0.0, sizes=(MEMORY, SIZE, FEATURES)
):
    """A decoder in eval mode, with no bias zero and no gain one; sizes of memory, context and output."""
    memory, context, output = sizes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        spec = LayerSpec(SIZE, HEADS, FEEDFORWARD, RESIDUALS[norm], dropout)
        attentions = [attention_of(look, memory, context, dropout) for _ in range(layers)]
        decoder = TransformerDecoder(EMBEDDING, output, spec, attentions, POSITIONS[positions](), SCALE).eval()
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return decoder


def encoded_of(memory, lengths=SOURCE_LENGTHS):
    return Encoded(memory, padding_mask(lengths, memory.shape[1], CPU), None)


@pytest.fixture
def encoded(tensors):
    memory = tensors(0)(len(SOURCE_LENGTHS), SOURCE_WIDTH, MEMORY)
    memory[~padding_mask(SOURCE_LENGTHS, SOURCE_WIDTH, CPU)] = 1e3  # whatever stands at padding
    return encoded_of(memory)


@pytest.fixture
def embedded(tensors):
    return tensors(1)(len(SOURCE_LENGTHS), STEPS, EMBEDDING)


def run(decoder, embedded, encoded, bias=None):
    source = decoder.prepare(encoded, bias)
    return decoder(embedded, decoder.start(encoded, source), source)


def walk(decoder, embedded, encoded):
    """The same as `run`, step by step."""
    source = decoder.prepare(encoded, None)
    state, steps = decoder.start(encoded, source), []
    for inputs in embedded.unbind(1):
        steps.append(decoder.step(inputs, state, source, Grid.full(len(inputs))))
        state = steps[-1].state
    features, weights, _ = zip(*steps, strict=True)
    return torch.stack(features, dim=1), torch.stack(weights, dim=1), state


def torchs(decoder, norm):
    """torch's own decoder with the same weights; its attention to the source has biases, here zero."""
    layer = nn.TransformerDecoderLayer(
        SIZE, HEADS, FEEDFORWARD, dropout=0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    final = nn.LayerNorm(SIZE, dtype=torch.float64) if norm == "pre" else None
    if final is not None:
        final.load_state_dict(decoder.last.state_dict())
    oracle = nn.TransformerDecoder(layer, LAYERS, final)
    for ours, theirs in zip(decoder.layers, oracle.layers, strict=True):
        theirs.self_attn.in_proj_weight.copy_(ours.attention.projection.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.attention.projection.bias)
        source = ours.source_attention
        projections = (source.score.query_projection, source.score.key_projection, source.value_projection)
        theirs.multihead_attn.in_proj_weight.copy_(torch.cat([linear.weight for linear in projections]))
        theirs.multihead_attn.in_proj_bias.zero_()
        theirs.multihead_attn.out_proj.weight.copy_(source.output_projection.weight)
        theirs.multihead_attn.out_proj.bias.zero_()
        for mine, other in [
            (ours.attention.output, theirs.self_attn.out_proj),
            (ours.feedforward.inner, theirs.linear1),
            (ours.feedforward.outer, theirs.linear2),
            (ours.around_attention.norm, theirs.norm1),
            (ours.around_source.norm, theirs.norm2),
            (ours.around_feedforward.norm, theirs.norm3),
        ]:
            other.load_state_dict(mine.state_dict())
    return oracle


@pytest.mark.parametrize("norm", RESIDUALS)
@torch.no_grad()
def test_pre_norm_and_post_norm_are_torchs(tensors, norm):
    decoder = build(norm, sizes=(SIZE, SIZE, FEATURES)).double()
    embedded = tensors(2, torch.float64)(len(SOURCE_LENGTHS), STEPS, EMBEDDING)
    encoded = encoded_of(tensors(3, torch.float64)(len(SOURCE_LENGTHS), SOURCE_WIDTH, SIZE))
    bottom = Sinusoidal()(SCALE * embedded) @ decoder.input.weight.T + decoder.input.bias
    causal = nn.Transformer.generate_square_subsequent_mask(STEPS, dtype=torch.float64)
    top = torchs(decoder, norm)(bottom, encoded.memory, causal, memory_key_padding_mask=~encoded.mask)
    expected = top @ decoder.output.weight.T + decoder.output.bias
    decoded = run(decoder, embedded, encoded)
    # The scores of the layer whose weights are asked for are in float32.
    torch.testing.assert_close(decoded.features, expected, atol=1e-5, rtol=1e-5)
    assert decoder.output_size == FEATURES


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", RESIDUALS)
@torch.no_grad()
def test_step_by_step_is_all_at_once(embedded, encoded, norm, positions, look):
    decoder = build(norm, positions, look)
    whole = run(decoder, embedded, encoded)
    features, weights, state = walk(decoder, embedded, encoded)
    torch.testing.assert_close(features, whole.features, **TOLERANCE)
    torch.testing.assert_close(weights, whole.weights, **TOLERANCE)
    assert state.step == whole.state.step == STEPS
    torch.testing.assert_close(state.caches, whole.state.caches, **TOLERANCE)


@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_a_start_all_at_once_can_be_gone_on_from(embedded, encoded, positions):
    decoder = build(positions=positions, look=LOOKS["prior"])
    source = decoder.prepare(encoded, None)
    whole = decoder(embedded, decoder.start(encoded, source), source)
    first = decoder(embedded[:, :2], decoder.start(encoded, source), source)
    second = decoder(embedded[:, 2:], first.state, source)
    torch.testing.assert_close(torch.cat([first.features, second.features], dim=1), whole.features, **TOLERANCE)
    torch.testing.assert_close(torch.cat([first.weights, second.weights], dim=1), whole.weights, **TOLERANCE)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_padding_and_company_change_nothing(embedded, encoded, look, training):
    decoder = build(look=look).train(training)
    together = run(decoder, embedded, encoded)
    for row, length in enumerate(SOURCE_LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone = run(decoder, embedded[one], encoded_of(encoded.memory[one, :length], SOURCE_LENGTHS[one]))
        torch.testing.assert_close(together.features[one], alone.features, **TOLERANCE)
        torch.testing.assert_close(together.weights[one, :, :length], alone.weights, **TOLERANCE)
        assert (together.weights[row, :, length:] == 0).all()


@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_later_words_change_nothing_before_them(embedded, encoded, positions):
    decoder = build(positions=positions)
    before = run(decoder, embedded, encoded)
    for step in range(STEPS):
        changed = embedded.clone()
        changed[:, step] += 1
        after = run(decoder, changed, encoded)
        assert torch.equal(after.features[:, :step], before.features[:, :step])
        assert torch.equal(after.weights[:, :step], before.weights[:, :step])
        assert ((after.features[:, step:] - before.features[:, step:]).abs().amax(dim=2) > 1e-4).all()


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_beams_are_rows_with_a_source_of_their_own(tensors, encoded, positions, look):
    """Rows are moved about after every step, as a search does it; with the source tiled, source and rows together."""
    decoder, sentences = build(positions=positions, look=look), len(SOURCE_LENGTHS)
    tiles = torch.arange(sentences).repeat_interleave(BEAMS)
    shared = decoder.prepare(encoded, None)
    own = shared.select(tiles)
    state = other = decoder.start(encoded, shared).select(tiles)
    generator = torch.Generator().manual_seed(4)
    histories = torch.zeros(sentences * BEAMS, 0, EMBEDDING)
    for step in range(STEPS):
        inputs = tensors(10 + step)(sentences * BEAMS, EMBEDDING)
        histories = torch.cat([histories, inputs.unsqueeze(1)], dim=1)
        features, weights, state = decoder.step(inputs, state, shared, Grid.full(sentences, BEAMS))
        tiled = decoder.step(inputs, other, own, Grid.full(len(inputs)))
        torch.testing.assert_close(features, tiled.features, **TOLERANCE)
        torch.testing.assert_close(weights, tiled.weights, **TOLERANCE)
        forced = decoder(histories, decoder.start(encoded, shared).select(tiles), own)
        torch.testing.assert_close(features, forced.features[:, -1], **TOLERANCE)
        torch.testing.assert_close(weights, forced.weights[:, -1], **TOLERANCE)
        chosen = torch.randint(BEAMS, (sentences, BEAMS), generator=generator)
        rows = (chosen + BEAMS * torch.arange(sentences).unsqueeze(1)).flatten()
        state, other, histories = state.select(rows), tiled.state.select(rows), histories[rows]


@torch.no_grad()
def test_sentences_that_are_done_can_be_left_out(embedded, encoded):
    decoder, kept = build(), torch.tensor([2, 0])
    source = decoder.prepare(encoded, None)
    grid = Grid.full(len(embedded))
    first = decoder.step(embedded[:, 0], decoder.start(encoded, source), source, grid)
    expected = decoder.step(embedded[:, 1], first.state, source, grid)
    found = decoder.step(embedded[kept, 1], first.state.select(kept), source.select(kept), Grid.full(2))
    torch.testing.assert_close(found.features, expected.features[kept], **TOLERANCE)
    torch.testing.assert_close(found.weights, expected.weights[kept], **TOLERANCE)


@torch.no_grad()
def test_the_weights_are_the_top_layers(embedded, encoded):
    decoder = build()
    found = run(decoder, embedded, encoded).weights
    assert found.shape == (len(SOURCE_LENGTHS), STEPS, SOURCE_WIDTH)
    torch.testing.assert_close(found.sum(dim=2), torch.ones(found.shape[:2]))
    queries = []
    decoder.layers[-1].around_source.norm.register_forward_hook(lambda module, inputs, output: queries.append(output))
    run(decoder, embedded, encoded)
    attention = decoder.layers[-1].source_attention
    _, expected, _ = attention.weigh(queries[0], attention.prepare(encoded, None), torch.arange(STEPS), None)
    assert torch.equal(found, expected)


@torch.no_grad()
def test_a_bias_reaches_every_layer(embedded, encoded, tensors):
    """Where it leaves one word only, what the source's other words are doesn't matter."""
    bias = torch.full((len(SOURCE_LENGTHS), SOURCE_WIDTH), -1e9)
    bias[:, 0] = 0
    decoder = build()
    found = run(decoder, embedded, encoded, bias)
    assert (found.weights[:, :, 0] == 1).all()
    others = encoded.memory.clone()
    others[:, 1:] = tensors(5)(len(SOURCE_LENGTHS), SOURCE_WIDTH - 1, MEMORY)
    torch.testing.assert_close(run(decoder, embedded, encoded_of(others), bias).features, found.features, **TOLERANCE)


@torch.no_grad()
def test_torchs_kernel_runs_wherever_no_weights_are_read(embedded, encoded, monkeypatch):
    causal = []
    kernel = F.scaled_dot_product_attention

    def counted(*args, **kwargs):
        causal.append(kwargs.get("is_causal", False))
        return kernel(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    decoder = build()
    source = decoder.prepare(encoded, None)
    decoder(embedded, decoder.start(encoded, source), source)
    assert causal.count(True) == LAYERS  # self-attention
    assert causal.count(False) == LAYERS - 1  # attention to the source, but for the top layer's
    causal.clear()
    decoder.step(embedded[:, 0], decoder.start(encoded, source), source, Grid.full(len(embedded)))
    assert causal == [False] * (2 * LAYERS - 1)


@torch.no_grad()
def test_learned_positions_end(embedded, encoded):
    decoder = build(positions="learned")
    state = run(decoder, embedded, encoded).state
    with pytest.raises(DataError, match=f"a sentence of {STEPS + 1} tokens is longer than max_length={STEPS}"):
        decoder.step(embedded[:, 0], state, decoder.prepare(encoded, None), Grid.full(len(embedded)))


def test_dropout_in_training_only(embedded, encoded):
    decoder = build(dropout=0.5)
    still = run(decoder, embedded, encoded).features
    assert torch.equal(still, run(build(), embedded, encoded).features)
    moving = run(decoder.train(), embedded, encoded).features
    assert not torch.isclose(moving, still).all(dim=2).any()


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_sizes_that_differ_are_mapped(embedded, encoded, layers):
    decoder = build(layers=layers, sizes=(MEMORY, 4, FEATURES))
    decoded = run(decoder, embedded, encoded)
    assert decoded.features.shape == (len(SOURCE_LENGTHS), STEPS, FEATURES)
    assert len(decoded.state.caches) == layers
    plain = build(layers=layers, sizes=(MEMORY, SIZE, SIZE))
    maps = (plain.output, *(layer.context for layer in plain.layers))
    assert not any(list(module.parameters()) for module in maps)


def test_every_weight_learns(embedded, encoded):
    decoder = build(sizes=(MEMORY, 4, FEATURES)).train()
    run(decoder, embedded, encoded).features.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in decoder.parameters())


@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_half_precision_step_by_step(embedded, encoded, positions):
    decoder = build(positions=positions)
    exact = run(decoder, embedded, encoded).features
    with torch.autocast("cpu", torch.bfloat16):
        found = run(decoder, embedded, encoded).features, walk(decoder, embedded, encoded)[0]
    for features in found:
        torch.testing.assert_close(features.float(), exact, atol=0.05, rtol=0.05)
