import pytest
import torch

from seq2seq.models.dropout import Dropout
from seq2seq.models.encoders import Encoder, MeanEncoder, RecurrentEncoder, ReversedEncoder, padding_mask
from seq2seq.models.memory import Encoded
from seq2seq.models.rnn import RNN, RNNSpec

SIZE = 3
LENGTHS = torch.tensor([4, 1, 6, 2])
WIDTH = 8  # two columns that no sentence reaches


def recurrent(dropout=0.0, layers=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rnn = RNN(RNNSpec("lstm", layers), SIZE, 5, bidirectional=True)
    return RecurrentEncoder(rnn, 10, Dropout(dropout))


ENCODERS = {
    "recurrent": recurrent,
    "mean": lambda: MeanEncoder(SIZE, Dropout(0.0)),
    "reversed": lambda: ReversedEncoder(recurrent()),
}


@pytest.fixture(params=ENCODERS.values(), ids=ENCODERS)
def encoder(request):
    return request.param()


@pytest.fixture
def sentences(tensors):
    embedded = tensors(0)(len(LENGTHS), WIDTH, SIZE)
    embedded[~padding_mask(LENGTHS, WIDTH, embedded.device)] = 1e3  # whatever stands at padding
    return embedded


class Numbered(Encoder):
    """Says of every word at which position it was read; as values the same, negative."""

    output_size = 1

    def forward(self, embedded, lengths):
        memory = torch.arange(embedded.shape[1]).float().expand(embedded.shape[:2]).unsqueeze(2)
        mask = padding_mask(lengths, embedded.shape[1], embedded.device)
        return Encoded(memory, mask, None, values=-memory)


def test_padding_mask():
    mask = padding_mask(torch.tensor([2, 0, 3]), 4, torch.device("cpu"))
    assert mask.tolist() == [[True, True, False, False], [False] * 4, [True, True, True, False]]


def test_a_sentence_is_read_alike_alone_and_in_a_padded_batch(encoder, sentences):
    together = encoder(sentences, LENGTHS)
    assert together.memory.shape == (len(LENGTHS), WIDTH, encoder.output_size)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(sentences[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together.memory[row, :length], alone.memory[0], atol=1e-6, rtol=0)
        assert (together.memory[row, length:] == 0).all()
        assert together.mask[row].tolist() == [True] * length + [False] * (WIDTH - length)
        if alone.final is None:
            assert together.final is None
        else:
            for part, expected in zip(together.final, alone.final, strict=True):
                torch.testing.assert_close(part[:, row], expected[:, 0], atol=1e-6, rtol=0)


def test_a_recurrent_encoder_is_its_rnn(sentences):
    encoder = recurrent()
    memory, final = encoder.rnn.encode(sentences, LENGTHS)
    encoded = encoder(sentences, LENGTHS)
    assert torch.equal(encoded.memory, memory)
    assert all(torch.equal(part, expected) for part, expected in zip(encoded.final, final, strict=True))


def test_the_mean_encoders_memory_is_the_words(sentences):
    encoded = MeanEncoder(SIZE, Dropout(0.0))(sentences, LENGTHS)
    assert encoded.final is None
    assert encoded.values is None
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(encoded.memory[row, :length], sentences[row, :length])
        torch.testing.assert_close(encoded.mean()[row], sentences[row, :length].mean(dim=0))


@pytest.mark.parametrize("build", [lambda p: MeanEncoder(SIZE, Dropout(p)), lambda p: recurrent(p, 1)])
def test_the_embeddings_are_dropped_in_training_only(build, sentences):
    dropping, keeping = build(0.5), build(0.0)
    assert torch.equal(dropping.eval()(sentences, LENGTHS).memory, keeping(sentences, LENGTHS).memory)
    torch.manual_seed(1)
    found = dropping.train()(sentences, LENGTHS).memory
    torch.manual_seed(1)
    assert torch.equal(found, keeping(Dropout(0.5)(sentences), LENGTHS).memory)


def test_backwards_with_eos_last_and_back_in_the_readers_order():
    found = ReversedEncoder(Numbered())(torch.zeros(3, 5, 2), torch.tensor([5, 1, 3]))
    assert found.memory.squeeze(2).tolist() == [[3, 2, 1, 0, 4], [0, 1, 2, 3, 4], [1, 0, 2, 3, 4]]
    assert torch.equal(found.values, -found.memory)
    assert found.mask.sum(dim=1).tolist() == [5, 1, 3]


def test_backwards_is_the_inner_encoder_on_a_turned_sentence(sentences):
    inner = recurrent()
    encoder = ReversedEncoder(inner)
    assert encoder.output_size == inner.output_size
    found = encoder(sentences, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        order = [*range(length - 2, -1, -1), length - 1]
        expected = inner(sentences[row, order].unsqueeze(0), LENGTHS[row : row + 1])
        for place, word in enumerate(order):
            torch.testing.assert_close(found.memory[row, word], expected.memory[0, place], atol=1e-6, rtol=0)
        for part, final in zip(found.final, expected.final, strict=True):
            torch.testing.assert_close(part[:, row], final[:, 0], atol=1e-6, rtol=0)


def test_a_sentence_without_words_is_no_trouble_backwards():
    found = ReversedEncoder(Numbered())(torch.zeros(1, 3, 2), torch.tensor([0]))
    assert found.memory.squeeze(2).tolist() == [[0, 1, 2]]
