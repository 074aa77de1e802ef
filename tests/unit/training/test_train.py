"""A training run of one update: what the data settle, and where it is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process import torch_settings_kept

import seq2seq

LINES = {"train": (["aa b", "bab b", "b a"], ["a", "b a", "b"]), "valid": (["ab"], ["b"]), "test": (["b b"], ["a"])}


@pytest.fixture(autouse=True)
def _settings_of_the_process() -> Iterator[None]:
    with torch_settings_kept():
        yield


@pytest.fixture
def one_update(tmp_path: Path) -> Any:
    """Trains on a few lines with these options of attention; gives the run."""
    for name, sides in LINES.items():
        for side, lines in zip(("de", "en"), sides, strict=True):
            (tmp_path / f"{name}.{side}").write_text("".join(f"{line}\n" for line in lines))

    def train(folder: str = "run", **attention: Any) -> seq2seq.Run:
        return seq2seq.train(
            seq2seq.Config.from_dict(
                {
                    "run": str(tmp_path / folder),
                    "data": {name: str(tmp_path / name) for name in LINES},
                    "tokenizer": {"name": "char"},
                    "embedding_size": 8,
                    "encoder": "gru",
                    "attention": {"name": "bahdanau", **attention},
                    "decoder": "gru",
                    "trainer": {"max_updates": 1, "samples": 0},
                    "device": "cpu",
                    "precision": "fp32",
                    "threads": 1,
                }
            )
        )

    return train


def test_a_slope_that_is_auto_is_the_training_datas_and_kept(one_update: Any) -> None:
    """In config.json, from where a model that was trained is built again."""
    run = one_update(prior="diagonal")
    slope = ((5 + 6 + 4) + 3) / ((2 + 4 + 2) + 3)  # pieces: characters, the space in front, and EOS
    report = json.loads((run.folder / "data.json").read_text())
    kept = json.loads((run.folder / "config.json").read_text())
    assert kept["attention"]["prior_slope"] == report["source_per_target"] == round(slope, 4)
    translator = seq2seq.Translator.load(run.folder)
    assert translator.model.decoder.attention.prior.slope == round(slope, 4)


def test_a_slope_that_is_given_stays(one_update: Any) -> None:
    run = one_update(prior="band", prior_slope=2.5)
    assert json.loads((run.folder / "config.json").read_text())["attention"]["prior_slope"] == 2.5


def test_the_coverage_loss_trains(one_update: Any) -> None:
    """The weights after an update are others with it; and without it the same again."""
    digests = [
        one_update(folder, coverage_loss=weight).results["model"]["digest"]
        for folder, weight in (("with", 1.0), ("without", 0.0), ("again", 0.0))
    ]
    assert digests[0] != digests[1] == digests[2]
