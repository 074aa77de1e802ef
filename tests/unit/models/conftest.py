"""Small models of the whole family, with weights large enough that a fault in any part shows in the output."""

import functools
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.models.build import build_model

PAD, BOS, EOS, UNK = 3, 1, 2, 0
VOCAB_SIZE = 14


def _neighbour(name):
    """A module of this folder, which is no package."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAMILY, PAPERS = _neighbour("family"), _neighbour("papers")


def build_variant(variant, seed=0):
    """Its model, in eval mode, with no bias zero and no gain one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(variant.config, VOCAB_SIZE, VOCAB_SIZE).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5).add_(0.3 * torch.randn_like(parameter))
            model.output.weight.mul_(2)
            for embedding in (model.source_embedding, model.target_embedding):
                embedding.weight.normal_()
    return model


@functools.cache
def exact(variant):
    """Its model in float64, one for all tests: they leave it as it is."""
    return build_variant(variant).double()


def pytest_generate_tests(metafunc):
    """Every choice once in the tests that run always, the whole family in the slow ones."""
    if "variant" in metafunc.fixturenames:
        firsts = FAMILY.firsts()
        rows = [pytest.param(row, marks=() if row in firsts else pytest.mark.slow) for row in FAMILY.family()]
        metafunc.parametrize("variant", rows, ids=str)


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
def float64(monkeypatch):
    """What is float32 whatever the weights' type, is float64 here, so that no rounding blurs a comparison."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


@pytest.fixture
def model(variant, float64):
    return exact(variant)


@pytest.fixture(name="build", scope="session")
def build_function():
    """build({"decoder": "gnmt"}): the small model of these options."""
    return lambda options, seed=0: build_variant(FAMILY.Variant(options), seed)


@pytest.fixture(name="rows", scope="session")
def rows_function():
    return FAMILY.family


@pytest.fixture(scope="session")
def papers():
    return PAPERS


@pytest.fixture(name="pad", scope="session")
def pad_function():
    return pad_pairs


@pytest.fixture(scope="session")
def pairs():
    """Sources of 3, 7 and 0 words with targets of 4, 0 and 5: none is longest on both sides."""
    generator = torch.Generator().manual_seed(3)

    def words(count):
        return torch.randint(4, VOCAB_SIZE, (count,), generator=generator).tolist()

    return [(words(source), words(target)) for source, target in [(3, 4), (7, 0), (0, 5)]]


@pytest.fixture(scope="session")
def tensors():
    """Random tensors, the same for the same seed: tensors(seed)(2, 3) is one of shape (2, 3)."""

    def seeded(seed, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return seeded
