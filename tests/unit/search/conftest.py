"""A model whose next token depends on the whole prefix and on its own source, so that a wrong row shows at once."""

import math
from typing import NamedTuple

import pytest
import torch

from seq2seq.grid import Grid
from seq2seq.search.protocol import SpecialIds

PAD, BOS, EOS, UNK = 0, 1, 2, 3
TABLE_SIZE = 10007


class TableState(NamedTuple):
    keys: torch.Tensor  # (B) of the source
    lengths: torch.Tensor  # (B)
    prefixes: torch.Tensor  # (R, t)
    grid: Grid

    def select(self, rows, grid, sentences=None):
        assert rows.shape == (grid.size,)
        kept = torch.arange(len(self.keys)) if sentences is None else sentences
        assert grid.sentences == len(kept)
        return TableState(self.keys[kept], self.lengths[kept], self.prefixes[rows], grid)


class TableStep(NamedTuple):
    logits: torch.Tensor
    weights: torch.Tensor
    state: TableState


class TableModel:
    """Logits are a row of a random table, chosen by a hash of source and prefix; the same in plain Python beside it."""

    special = SpecialIds(BOS, EOS, (PAD, BOS, UNK))

    def __init__(self, vocabulary_size=7, seed=0, scale=1.5, eos_bias=0.0):
        generator = torch.Generator().manual_seed(seed)
        self.table = scale * torch.randn(TABLE_SIZE, vocabulary_size, generator=generator)
        self.table[:, EOS] += eos_bias
        self.vocabulary_size = vocabulary_size
        self.words = [token for token in range(vocabulary_size) if token not in (PAD, BOS, EOS, UNK)]
        self.batch_sizes = []  # sentences at each step
        self.row_counts = []  # rows at each step

    def start(self, source, lengths, bias=None):
        self.width, self.batch_sizes, self.row_counts = source.shape[1], [], []
        places = torch.arange(1, self.width + 1)
        keys = (source * places * (places <= lengths[:, None])).sum(dim=1)
        size = len(source)
        return TableState(keys, lengths, torch.empty(size, 0, dtype=torch.long), Grid.full(size))

    def step(self, tokens, state):
        assert tokens.shape == (state.grid.size,)
        self.batch_sizes.append(len(state.keys))
        self.row_counts.append(len(tokens))
        prefixes = torch.cat([state.prefixes, tokens[:, None]], dim=1)
        owners = state.grid.owners(tokens.device)
        hashes = state.keys[owners]
        for token in prefixes.unbind(dim=1):
            hashes = (hashes * 31 + token + 1) % TABLE_SIZE
        places = torch.arange(self.width)
        weights = (hashes[:, None] + places * 13) % 17 + 1.0
        weights = weights * (places < state.lengths[owners][:, None])
        weights = weights / weights.sum(dim=1, keepdim=True)
        return TableStep(self.table[hashes], weights, state._replace(prefixes=prefixes))

    def hash(self, source, prefix):
        value = sum((place + 1) * token for place, token in enumerate(source))
        for token in [BOS, *prefix]:
            value = (value * 31 + token + 1) % TABLE_SIZE
        return value

    def log_probs(self, source, prefix):
        logits = self.table[self.hash(source, prefix)].tolist()
        log_z = math.log(sum(math.exp(logit) for logit in logits))
        return [logit - log_z for logit in logits]

    def forced_score(self, source, tokens):
        return sum(self.log_probs(source, tokens[:t])[token] for t, token in enumerate([*tokens, EOS]))

    def weights(self, source, tokens):
        rows = []
        for t in range(len(tokens) + 1):
            value = self.hash(source, tokens[:t])
            row = [float((value + place * 13) % 17 + 1) for place in range(len(source))]
            rows.append([weight / sum(row) for weight in row])
        return rows


def make_batch(sources):
    """Sources of any lengths, padded with zeros; as (B, S) and (B)."""
    width = max(len(source) for source in sources)
    return (
        torch.tensor([source + [PAD] * (width - len(source)) for source in sources]),
        torch.tensor([len(source) for source in sources]),
    )


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name="table_model", scope="session")
def table_model_class():
    return TableModel


@pytest.fixture(name="batch", scope="session")
def batch_function():
    return make_batch


@pytest.fixture(scope="session")
def sources():
    """Twelve sources of 1 to 6 tokens."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(4, 90, (1 + i % 6,), generator=generator).tolist() for i in range(12)]
