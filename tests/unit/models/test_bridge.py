from itertools import product

import pytest
import torch

from seq2seq.config import Config
from seq2seq.models.bridge import Bridge
from seq2seq.models.build import build_model
from seq2seq.models.memory import RNNState

MIXES = list(product(["gru", "lstm"], [False, True], [1, 2, 3], ["gru", "lstm"], [1, 2, 3]))


@pytest.mark.parametrize(("encoder", "bidirectional", "encoder_layers", "decoder", "decoder_layers"), MIXES)
def test_any_encoder_fits_any_decoder(encoder, bidirectional, encoder_layers, decoder, decoder_layers):
    config = Config.from_dict(
        {
            "embedding_size": 3,
            "encoder": {
                "name": encoder,
                "hidden_size": 4,
                "num_layers": encoder_layers,
                "bidirectional": bidirectional,
            },
            "decoder": {"name": decoder, "hidden_size": 5, "num_layers": decoder_layers},
        }
    )
    model = build_model(config, 9, 9).eval()
    state = model.start(torch.tensor([[4, 5, 2], [6, 2, 3]]), torch.tensor([3, 2]), beams=2).decoder.rnn
    assert state.hidden.shape == (decoder_layers, 4, 5)
    assert (None if state.cell is None else state.cell.shape) == (None if decoder == "gru" else state.hidden.shape)
    assert model.step(
        torch.full((4,), 1), model.start(torch.tensor([[4, 2]] * 2), torch.tensor([2, 2]), 2)
    ).logits.shape == (4, 9)


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
