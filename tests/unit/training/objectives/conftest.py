"""A small model, batches for it, and updaters of any objective."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.data.lengths import LengthLimit
from seq2seq.models.build import build_model
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import Runtime
from seq2seq.training.objectives import build_objective
from seq2seq.training.updater import Updater

UNK, BOS, EOS, PAD, VOCABULARY = 0, 1, 2, 3, 12
LIMIT = LengthLimit(1.0, 2.0)


class Words:
    """A tokenizer whose pieces are words: 7 is "w7"."""

    unk_id, bos_id, eos_id, pad_id, vocab_size = UNK, BOS, EOS, PAD, VOCABULARY

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(f"w{i}" for i in ids)


def padded(rows: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


class Bench:
    """What the tests of all objectives need."""

    words, limit, runtime = Words(), LIMIT, Runtime(torch.device("cpu"), "fp32", 1)

    def config(self, objective: dict[str, Any], dropout: float = 0.0, coverage: float = 0.0, **options: Any) -> Config:
        return Config.from_dict(
            {
                "init": "RUN",
                "embedding_size": 16,
                "encoder": {"name": "gru", "dropout": dropout},
                "attention": {"name": "luong_general", "coverage_loss": coverage},
                "decoder": {"name": "gru", "dropout": dropout},
                "objective": objective,
                "optimizer": {"name": "adam", "learning_rate": 0.01},
                **options,
            }
        )

    def objective(self, config: Config) -> Any:
        return build_objective(config, self.words, self.limit)  # type: ignore[arg-type]

    def model(self, config: Config, seed: int = 3) -> Seq2Seq:
        torch.manual_seed(seed)
        model = build_model(config, VOCABULARY, VOCABULARY).train()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        return model

    def updater(self, config: Config, model: Seq2Seq | None = None) -> Updater:
        given = self.model(config) if model is None else copy.deepcopy(model)
        return Updater(config, given, self.runtime, self.objective(config))

    def batch(self, *lengths: tuple[int, int], seed: int = 0) -> Batch:
        """Random pairs of so many source and target words, padded."""
        generator = torch.Generator().manual_seed(seed)

        def words(count: int) -> list[int]:
            return torch.randint(4, VOCABULARY, (count,), generator=generator).tolist()

        return self.pairs([(words(source), words(target)) for source, target in lengths])

    def copies(self, rows: int, seed: int = 0) -> Batch:
        """Pairs whose target is the source."""
        generator = torch.Generator().manual_seed(seed)
        lines = [torch.randint(4, VOCABULARY, (2 + i % 4,), generator=generator).tolist() for i in range(rows)]
        return self.pairs([(line, line) for line in lines])

    def pairs(self, pairs: list[tuple[list[int], list[int]]]) -> Batch:
        return Batch(
            padded([[*source, EOS] for source, _ in pairs]),
            torch.tensor([len(source) + 1 for source, _ in pairs]),
            padded([[BOS, *target] for _, target in pairs]),
            padded([[*target, EOS] for _, target in pairs]),
            torch.tensor([len(target) + 1 for _, target in pairs]),
        )


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def gradients() -> Callable[[Seq2Seq, torch.Tensor], dict[str, torch.Tensor]]:
    """Of a loss by every weight; zero where it doesn't depend on one."""

    def of(model: Seq2Seq, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        names, weights = zip(*model.named_parameters(), strict=True)
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return dict(zip(names, found, strict=True))

    return of
