from itertools import product

import pytest
import torch

from seq2seq.models.bridge import Bridge, CopyBridge
from seq2seq.models.memory import Encoded, RNNState

MIXES = list(product(["gru", "lstm"], [False, True], [1, 2, 3], ["gru", "lstm"], [1, 2, 3]))


@torch.no_grad()
@pytest.mark.parametrize(("encoder", "bidirectional", "encoder_layers", "decoder", "layers"), MIXES)
def test_any_encoder_fits_any_decoder(encoder, bidirectional, encoder_layers, decoder, layers, build):
    model = build(
        {
            "encoder": encoder,
            "encoder.bidirectional": bidirectional,
            "encoder.num_layers": encoder_layers,
            "decoder": decoder,
            "decoder.num_layers": layers,
            "decoder.hidden_size": 7,
        }
    )
    start = model.start(torch.tensor([[4, 5, 2], [6, 2, 3]]), torch.tensor([3, 2]))
    state = start.decoder.rnn
    assert state.hidden.shape == (layers, 2, 7)
    assert (None if state.cell is None else state.cell.shape) == (None if decoder == "gru" else state.hidden.shape)
    assert model.step(torch.full((2,), 1), start).logits.shape == (2, 14)


def expected_layer(linear, final):
    """tanh(W h + b) in plain float64."""
    return torch.tanh(final.double() @ linear.weight.double().T + linear.bias.double())


@pytest.mark.parametrize("with_cell", [False, True])
@pytest.mark.parametrize("encoder_has_cell", [False, True])
@pytest.mark.parametrize(
    ("encoder_layers", "decoder_layers", "reads"),  # the encoder's layer that each layer of the decoder reads
    [(1, 1, [0]), (1, 3, [0, 0, 0]), (2, 3, [0, 1, 1]), (3, 2, [1, 2]), (2, 1, [1])],
)
def test_each_layer_is_tanh_of_its_own_map(tensors, with_cell, encoder_has_cell, encoder_layers, decoder_layers, reads):
    torch.manual_seed(0)
    bridge, draw = Bridge(6, 4, decoder_layers, with_cell), tensors(1)
    final = RNNState(draw(encoder_layers, 3, 6), draw(encoder_layers, 3, 6) if encoder_has_cell else None)
    first = bridge(final)
    assert (first.cell is None) == (not with_cell)
    parts = [(first.hidden, final.hidden, bridge.hidden)]
    if with_cell:
        parts.append((first.cell, final.cell if encoder_has_cell else final.hidden, bridge.cell))
    for mapped, given, linears in parts:
        for layer in range(decoder_layers):
            source = given[reads[layer]]
            torch.testing.assert_close(
                mapped[layer].double(), expected_layer(linears[layer], source), atol=1e-6, rtol=0
            )
    if with_cell:
        assert not torch.allclose(first.hidden, first.cell)


@pytest.mark.parametrize("with_cell", [False, True])
def test_a_copy_is_the_final_state_layer_by_layer(tensors, with_cell):
    draw = tensors(2)
    final = RNNState(draw(3, 2, 4), draw(3, 2, 4) if with_cell else None)
    first = CopyBridge()(final)
    assert torch.equal(first.hidden, final.hidden)
    assert (first.cell is None) == (not with_cell)
    assert first.cell is None or torch.equal(first.cell, final.cell)
    assert not list(CopyBridge().parameters())


@pytest.mark.parametrize("bridge", [CopyBridge(), Bridge(4, 4, 2, with_cell=True)], ids=["copy", "tanh"])
def test_states_are_kept_in_float32_whatever_autocast_makes_of_the_rest(tensors, bridge):
    draw = tensors(3)
    final = RNNState(draw(2, 3, 4).bfloat16(), draw(2, 3, 4).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first = bridge(final)
    assert {part.dtype for part in first} == {torch.float32}


@torch.no_grad()
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_model_that_copies_starts_where_its_encoder_ended(cell, build):
    options = {"encoder": cell, "encoder.num_layers": 2, "decoder": cell, "decoder.num_layers": 2}
    model = build(options | {"decoder.hidden_size": "auto", "decoder.bridge": "copy"})
    source, lengths = torch.tensor([[4, 5, 2], [6, 2, 3]]), torch.tensor([3, 2])
    final = model.encoder(model.source_embedding(source), lengths).final
    first = model.start(source, lengths).decoder.rnn
    for part, expected in zip(first, final, strict=True):
        assert (part is None) == (expected is None)
        assert part is None or torch.equal(part, expected)


@pytest.mark.parametrize("with_cell", [False, True])
def test_without_a_final_state_the_mean_of_the_real_words_stands_in(tensors, with_cell):
    memory = tensors(4)(2, 4, 3)
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    encoded = Encoded(memory, mask, None)
    means = torch.stack([(memory[0, 0] + memory[0, 1] + memory[0, 2]) / 3, memory[1, 0]])
    torch.testing.assert_close(encoded.mean(), means)
    summary = encoded.summary()
    torch.testing.assert_close(summary.hidden, means[None])
    assert summary.cell is None
    bridge = Bridge(3, 5, 2, with_cell)
    first = bridge(summary)
    for layer in range(2):
        for part, linears in ((first.hidden, bridge.hidden), (first.cell, bridge.cell))[: 1 + with_cell]:
            expected = expected_layer(linears[layer], means)
            torch.testing.assert_close(part[layer].double(), expected, atol=1e-6, rtol=0)
    with_final = encoded._replace(final=RNNState(memory[None, :, 0], None))
    assert with_final.summary() is with_final.final
