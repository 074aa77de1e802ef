import math

import pytest
import torch
from torch import nn

from seq2seq.errors import ConfigError
from seq2seq.models.convolution import ConvolutionalEncoder
from seq2seq.models.encoders import padding_mask
from seq2seq.models.positions import Learned, Positions, Sinusoidal

EMBEDDING, HIDDEN, LAYERS, KERNEL = 4, 6, 2, 3
LENGTHS = torch.tensor([5, 1, 7])
WIDTH = 9


def build(positions=None, dropout=0.0, kernel_size=KERNEL, layers=LAYERS, sizes=(EMBEDDING, HIDDEN)):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = ConvolutionalEncoder(*sizes, layers, kernel_size, positions or Sinusoidal(), dropout)
        with torch.no_grad():
            for name, parameter in encoder.named_parameters():
                if "bias" in name:
                    parameter.normal_()
    return encoder


def affine(layer, vector):
    rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [sum(w * x for w, x in zip(row, vector, strict=True)) + bias for row, bias in rows]


def convolved(layer, hidden, position):
    """W [h_(j-k/2); ..; h_(j+k/2)] + b, a product at a time; zero where there is no word."""
    outputs = layer.bias.tolist()
    _, inputs, width = layer.weight.shape
    weight = layer.weight.tolist()
    for out in range(len(outputs)):
        for offset in range(width):
            place = position + offset - width // 2
            if 0 <= place < len(hidden):
                outputs[out] += sum(weight[out][i][offset] * hidden[place][i] for i in range(inputs))
    return outputs


def encode(encoder, read):
    """One sentence of word vectors with their positions (lists): z, and (z + e) * sqrt(0.5)."""
    hidden = [affine(encoder.widen, vector) for vector in read]
    half = math.sqrt(0.5)
    for block in encoder.blocks:
        following = []
        for position, old in enumerate(hidden):
            outputs = convolved(block.convolution, hidden, position)
            values, gates = outputs[: len(old)], outputs[len(old) :]
            gated = [value / (1 + math.exp(-gate)) for value, gate in zip(values, gates, strict=True)]
            following.append([(new + kept) * half for new, kept in zip(gated, old, strict=True)])
        hidden = following
    keys = [affine(encoder.narrow, vector) for vector in hidden]
    values = [[(z + e) * half for z, e in zip(*pair, strict=True)] for pair in zip(keys, read, strict=True)]
    return keys, values


@pytest.fixture
def sentences(tensors):
    embedded = tensors(0, torch.float64)(len(LENGTHS), WIDTH, EMBEDDING)
    embedded[~padding_mask(LENGTHS, WIDTH, embedded.device)] = 1e3  # whatever stands at padding
    return embedded


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_the_papers_formula(sentences, kernel_size):
    encoder = build(kernel_size=kernel_size).double()
    encoded = encoder(sentences, LENGTHS)
    assert encoded.final is None
    assert encoder.output_size == EMBEDDING
    for row, length in enumerate(LENGTHS.tolist()):
        assert encoded.mask[row].tolist() == [True] * length + [False] * (WIDTH - length)
        read = Sinusoidal()(sentences[row : row + 1, :length])[0].tolist()
        keys, values = encode(encoder, read)
        torch.testing.assert_close(encoded.memory[row, :length], torch.tensor(keys, dtype=torch.float64))
        torch.testing.assert_close(encoded.values[row, :length], torch.tensor(values, dtype=torch.float64))
        assert (encoded.memory[row, length:] == 0).all()
        assert (encoded.values[row, length:] == 0).all()


@pytest.mark.parametrize("training", [False, True])
def test_padding_and_company_change_nothing(sentences, training):
    encoder = build(Learned(WIDTH, EMBEDDING, std=1.0)).train(training)
    together = encoder(sentences.float(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(sentences[row : row + 1, :length].float(), LENGTHS[row : row + 1])
        torch.testing.assert_close(together.memory[row, :length], alone.memory[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.values[row, :length], alone.values[0], atol=1e-5, rtol=0)


def test_a_word_sees_as_far_as_layers_and_kernels_reach(tensors):
    encoder, lengths = build(), torch.tensor([9])
    embedded = tensors(1)(1, 9, EMBEDDING)
    changed = embedded.clone()
    changed[0, 4] += 1
    difference = (encoder(changed, lengths).memory - encoder(embedded, lengths).memory).abs().amax(dim=2)[0]
    assert [value > 1e-6 for value in difference.tolist()] == [abs(place - 4) <= 2 for place in range(9)]


def test_without_positions_it_doesnt_know_where_a_sentence_stands(tensors):
    """Far from both ends a shifted sentence gives a shifted memory, unless positions are told."""
    lengths = torch.tensor([12])
    embedded = tensors(2)(1, 12, EMBEDDING)
    shifted = embedded.roll(1, dims=1)
    for positions, alike in ((Positions(), True), (Sinusoidal(), False)):
        encoder = build(positions)
        memory, moved = encoder(embedded, lengths).memory, encoder(shifted, lengths).memory
        assert torch.allclose(memory[:, 4:7], moved[:, 5:8], atol=1e-5) == alike


def test_dropout_in_training_only(sentences):
    encoder, words = build(dropout=0.5), sentences.float()
    still = encoder.eval()(words, LENGTHS)
    assert torch.equal(encoder(words, LENGTHS).memory, still.memory)
    moving = encoder.train()(words, LENGTHS)
    assert not torch.allclose(moving.memory[0, :5], still.memory[0, :5])
    assert (moving.memory[0, 5:] == 0).all()
    assert (moving.values[0, 5:] == 0).all()


class Nothing(nn.Module):
    """What dropout leaves at a rate of 1."""

    def forward(self, inputs):
        return torch.zeros_like(inputs)


@torch.no_grad()
def test_dropout_is_on_the_words_with_their_positions_and_on_what_convolutions_read(tensors):
    encoder, lengths = build(), torch.tensor([5])
    embedded = tensors(3)(1, 5, EMBEDDING)
    for block in encoder.blocks:
        block.dropout = Nothing()
    changed = embedded.clone()
    changed[0, 2] += 1
    difference = (encoder(changed, lengths).memory - encoder(embedded, lengths).memory).abs().amax(dim=2)[0]
    assert [value > 0 for value in difference.tolist()] == [False, False, True, False, False]
    encoder.dropout = Nothing()
    encoded = encoder(embedded, lengths)
    torch.testing.assert_close(encoded.memory, encoded.memory[:, :1].expand_as(encoded.memory))
    torch.testing.assert_close(encoded.values, encoded.memory * math.sqrt(0.5))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_papers_first_weights(dropout):
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder(300, 200, 1, 3, Positions(), dropout)
    kept = 1 - dropout
    convolution = encoder.blocks[0].convolution
    assert encoder.widen.weight.std().item() == pytest.approx(math.sqrt(kept / 300), rel=0.02)
    assert encoder.narrow.weight.std().item() == pytest.approx(math.sqrt(1 / 200), rel=0.02)
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(4 * kept / (3 * 200)), rel=0.02)
    assert all((layer.bias == 0).all() for layer in (encoder.widen, encoder.narrow, convolution))


def test_variance_stays_on_the_way_up():
    """What the initialisation and the sqrt(0.5) are for: small inputs keep their variance through many layers."""
    torch.manual_seed(0)
    encoder = ConvolutionalEncoder(256, 256, 8, 3, Positions(), 0.0)
    embedded = 0.1 * torch.randn(4, 40, 256)
    memory = encoder(embedded, torch.full((4,), 40)).memory
    assert 0.7 < memory.std() / embedded.std() < 1.2


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match=r"encoder\.kernel_size must be odd, .* not 4"):
        build(kernel_size=4)
