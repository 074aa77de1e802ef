"""What a run's folder gives to translate with, each part checked before the next is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from seq2seq.checkpoints import Which
from seq2seq.config import Config
from seq2seq.data.lengths import LengthLimit
from seq2seq.errors import CheckpointError
from seq2seq.models.build import build_model
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.weights import check_fit, fit
from seq2seq.runs import RunFolder
from seq2seq.text.tokenizer import TokenizerPair


class Saved(NamedTuple):
    """A trained model on the CPU, and what belongs to it."""

    config: Config
    tokenizers: TokenizerPair
    model: Seq2Seq
    limit: LengthLimit

    @classmethod
    def load(cls, path: Path, checkpoint: Which) -> Saved:
        """CheckpointError where `path` isn't a run's folder, or its parts don't fit together."""
        folder = RunFolder.open(path)
        config = folder.read_config()
        tokenizers = TokenizerPair.load(folder.tokenizer)
        limit = _length_limit(folder, tokenizers)
        _, weights, origin = folder.checkpoints.weights(checkpoint)
        with torch.device("meta"):  # sizes are compared before memory is taken for any
            check_fit(model_for(config, tokenizers), weights, origin)
        model = model_for(config, tokenizers)
        fit(model, weights, origin)
        return cls(config, tokenizers, model, limit)


def model_for(config: Config, tokenizers: TokenizerPair) -> Seq2Seq:
    """The config's model with fresh weights, in the size of these vocabularies."""
    return build_model(config, tokenizers.source.vocab_size, tokenizers.target.vocab_size)


def _length_limit(folder: RunFolder, tokenizers: TokenizerPair) -> LengthLimit:
    """Of the run's data.json, which also says which tokenizers the model was trained with."""
    report, file = folder.read_json("data.json"), folder.path / "data.json"
    if report.get("tokenizer") != tokenizers.digests:
        raise CheckpointError(f"{folder.tokenizer} is damaged, or another model's: its SHA-256 is not that in {file}")
    try:
        limit = LengthLimit(**report["length_limit"])
        if all(0 <= number < 1e6 for number in limit):
            return limit
    except (KeyError, TypeError):
        pass
    raise CheckpointError(f"{file} has no length_limit that can be used")
