"""A benchmark of a model so small that every mode takes a moment."""

import pytest
import torch
from support.process import torch_settings_kept

from seq2seq.benchmark.bench import Bench
from seq2seq.benchmark.options import BenchmarkConfig
from seq2seq.runtime import Runtime

SMALL = {
    "source_length": 4,
    "target_length": 3,
    "vocab_size": 20,
    "updates": 2,
    "warmup": 1,
    "repeats": 2,
    "sentences": 5,
    "matrix_size": 16,
    "pairs": [9, 21],
    "lines": [3, 7],
    "lengths": [2, 3, 5],
}


@pytest.fixture(autouse=True)
def _the_process_as_it_was():
    """The settings and the random state that measuring changes."""
    with torch_settings_kept(), torch.random.fork_rng(devices=[]):
        yield


def asked(measure=None, **options):
    """The options of a small benchmark on one thread of the CPU, in float32."""
    plain = {
        "embedding_size": 6,
        "device": "cpu",
        "threads": 1,
        "precision": "fp32",
        "scheduler": "constant",
        "trainer": {"batch_sentences": 4, "translate_batch": 3},
        **options,
    }
    return BenchmarkConfig.from_dict({**plain, "benchmark": {**SMALL, **(measure or {})}})


@pytest.fixture
def make_options():
    """make(measure, **options): the options of a small benchmark."""
    return asked


@pytest.fixture
def make_bench():
    """make(measure, **options): a small benchmark."""

    def make(measure=None, **options):
        config = asked(measure, **options)
        return Bench(config, Runtime.resolve(config.config, training=True))

    return make
