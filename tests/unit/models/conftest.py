"""Small models of every kind, with weights large enough that a fault in any part shows in the output."""

from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.config import Config
from seq2seq.models.build import build_model

PAD, BOS, EOS, UNK = 3, 1, 2, 0
VOCAB_SIZE = 14

ATTENTIONS = ("bahdanau", "luong_dot", "luong_general", "luong_concat")
PLACES = (("before_rnn", False), ("after_rnn", False), ("after_rnn", True))  # with or without input feeding
DECODERS = [("none", "none", False), *((name, *place) for name, place in product(ATTENTIONS, PLACES))]


class Variant(NamedTuple):
    """One of encoder x attention x decoder x layers, at every place where its attention may stand."""

    encoder: str
    decoder: str
    layers: int
    attention: str
    attend: str
    input_feeding: bool

    def __str__(self):
        fed = "-fed" if self.input_feeding else ""
        return f"{self.encoder}-{self.attention}-{self.attend}{fed}-{self.decoder}-{self.layers}"


VARIANTS = [
    Variant(*cells, *decoder) for *cells, decoder in product(("gru", "lstm"), ("gru", "lstm"), (1, 2), DECODERS)
]


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS, ids=str)


def build_variant(variant, bidirectional=True, seed=0):
    """Its model, in eval mode. All sizes differ, where luong_dot doesn't forbid it, and no bias is zero."""
    config = Config.from_dict(
        {
            "embedding_size": 5,
            "tie_embeddings": "none",
            "encoder": {
                "name": variant.encoder,
                "hidden_size": 4,
                "num_layers": variant.layers,
                "bidirectional": bidirectional,
            },
            "attention": variant.attention,
            "decoder": {
                "name": variant.decoder,
                "hidden_size": "auto" if variant.attention == "luong_dot" else 7,
                "num_layers": variant.layers,
                "attend": variant.attend,
                "input_feeding": variant.input_feeding,
                "readout_size": 6,
            },
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config, VOCAB_SIZE, VOCAB_SIZE).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5).add_(0.3 * torch.randn_like(parameter))
            model.output.weight.mul_(2)
            for embedding in (model.source_embedding, model.target_embedding):
                embedding.weight.normal_()
    return model


class Pairs(NamedTuple):
    """A padded batch as the model takes it."""

    source: Tensor
    source_lengths: Tensor
    target_input: Tensor
    target_output: Tensor
    target_mask: Tensor


def pad_pairs(pairs, extra=0):
    """Pairs of token lists, in that order; `extra` columns of padding on both sides beyond what the longest needs."""

    def padded(rows):
        longest = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)
        return torch.nn.functional.pad(longest, (0, extra), value=PAD)

    sources = [[*source, EOS] for source, _ in pairs]
    targets = [[*target, EOS] for _, target in pairs]
    lengths = torch.tensor([len(target) for target in targets])
    target_output = padded(targets)
    return Pairs(
        source=padded(sources),
        source_lengths=torch.tensor([len(source) for source in sources]),
        target_input=padded([[BOS, *target[:-1]] for target in targets]),
        target_output=target_output,
        target_mask=torch.arange(target_output.shape[1]) < lengths[:, None],
    )


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model(variant):
    return build_variant(variant)


@pytest.fixture(name="build", scope="session")
def build_function():
    return lambda *names, **options: build_variant(Variant(*names), **options)


@pytest.fixture(name="pad", scope="session")
def pad_function():
    return pad_pairs


@pytest.fixture(scope="session")
def pairs():
    """Sources of 3, 8, 0, 5 and 6 words with targets of 4, 2, 7, 0 and 5: none is longest on both sides."""
    generator = torch.Generator().manual_seed(3)

    def words(count):
        return torch.randint(4, VOCAB_SIZE, (count,), generator=generator).tolist()

    return [(words(source), words(target)) for source, target in [(3, 4), (8, 2), (0, 7), (5, 0), (6, 5)]]


@pytest.fixture(scope="session")
def tensors():
    """Random tensors, the same for the same seed: tensors(seed)(2, 3) is one of shape (2, 3)."""

    def seeded(seed, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return seeded
