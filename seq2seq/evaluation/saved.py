"""What a run's folder gives to translate with, each part checked before the next is trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq.checkpoints import Which
from seq2seq.config import Config
from seq2seq.data.lengths import LengthLimit
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.models.build import build_model
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.weights import check_fit, distinct, fit
from seq2seq.runs import RunFolder
from seq2seq.text.pair import TokenizerPair

LOGGER = logging.getLogger("seq2seq")


class Saved(NamedTuple):
    """A trained model on the CPU, and what belongs to it."""

    config: Config
    tokenizers: TokenizerPair
    model: Seq2Seq
    limit: LengthLimit

    @classmethod
    def load(cls, path: Path, checkpoint: Which) -> Saved:
        """CheckpointError where `path` isn't a run's folder, or its parts don't fit together."""
        return Described.read(path).load(checkpoint)

    @classmethod
    def load_all(cls, paths: Sequence[Path], checkpoint: Which) -> list[Saved]:
        """Several to translate together, at least one; whether they can is known before any weights are read.

        Raises:
            CheckpointError: as `load`.
            ConfigError: they read other pieces, or translate in the other direction.
        """
        described = [Described.read(path) for path in paths]
        for other in described[1:]:
            described[0].check_company(other)
        return [one.load(checkpoint) for one in described]


class Described(NamedTuple):
    """What a run's folder says of its model, without the weights."""

    folder: RunFolder
    config: Config
    tokenizers: TokenizerPair
    limit: LengthLimit

    @classmethod
    def read(cls, path: Path) -> Described:
        folder = RunFolder.open(path)
        config = folder.read_config()
        tokenizers = TokenizerPair.load(folder.tokenizer)
        return cls(folder, config, tokenizers, _length_limit(folder, tokenizers))

    def check_company(self, other: Described) -> None:
        """ConfigError where the two can't be members of one ensemble."""
        mine, others = self.folder.path, other.folder.path
        if self.tokenizers.digests != other.tokenizers.digests:
            raise ConfigError(
                f"run=[...]: {mine} and {others} have different tokenizers, so that their pieces are not the same; the "
                f"members of an ensemble need one: train the second with tokenizer.model={mine}"
            )
        there, back = ((run.config.data.source, run.config.data.target) for run in (self, other))
        if there[0] != there[1] and there == back[::-1]:
            raise ConfigError(
                f"run=[...]: {mine} translates {there[0]} to {there[1]}, but {others} {back[0]} to {back[1]}; the "
                "members of an ensemble need one direction"
            )

    def load(self, checkpoint: Which) -> Saved:
        """CheckpointError where the weights are missing, damaged, or another model's."""
        _, config, tokenizers, limit = self
        weights, origin = self._weights(checkpoint)
        model = sketch(config, tokenizers)
        check_fit(model, weights, origin)
        fill(model, weights)
        if any(tensor.is_meta for tensor in _tensors(model)):  # what the config gives, and no checkpoint holds
            model = model_for(config, tokenizers)
            fit(model, weights, origin)
        return Saved(config, tokenizers, model, limit)

    def _weights(self, checkpoint: Which) -> tuple[dict[str, Tensor], str]:
        """And their name in messages."""
        checkpoints = self.folder.checkpoints
        if checkpoint == "average":
            used, weights, origin = checkpoints.average(self.config.trainer.keep_best)
            LOGGER.info("%s (%d of at most trainer.keep_best=%d)", origin, len(used), self.config.trainer.keep_best)
            return weights, origin
        _, weights, origin = checkpoints.weights(checkpoint)
        return weights, origin


def model_for(config: Config, tokenizers: TokenizerPair) -> Seq2Seq:
    """The config's model with fresh weights, in the size of these vocabularies."""
    return build_model(config, tokenizers.source.vocab_size, tokenizers.target.vocab_size)


def sketch(config: Config, tokenizers: TokenizerPair) -> Seq2Seq:
    """The same on the device "meta": names and sizes, for which no memory is taken and no number drawn."""
    with torch.device("meta"), _Undrawn():
        return model_for(config, tokenizers)


class _Undrawn(TorchFunctionMode):
    """Weights are not drawn: on "meta" nothing would come of it, but torch imports its compiler first, for a second."""

    DRAWS = frozenset(
        {
            nn.init.normal_,
            nn.init.uniform_,
            nn.init.kaiming_uniform_,
            nn.init.trunc_normal_,
            Tensor.normal_,
            Tensor.uniform_,
        }
    )

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in self.DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts copies of `weights`, which must fit, in the place of the model's own, which may be on "meta"; ties stay.

    A `sketch` becomes a model by this, without the draws that most of a model's making takes.
    """
    filled: dict[int, Tensor] = {}
    for name, own in distinct(model).items():
        copy = weights[name].clone()  # for these may be views of a file
        filled[id(own)] = nn.Parameter(copy, own.requires_grad) if isinstance(own, nn.Parameter) else copy
    for module in model.modules():
        for name, own in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if id(own) in filled:
                setattr(module, name, filled[id(own)])


def _tensors(model: nn.Module) -> Iterable[Tensor]:
    """All that its modules hold: weights, buffers, and tensors that are mere attributes."""
    for module in model.modules():
        held = [*module.parameters(recurse=False), *module.buffers(recurse=False), *vars(module).values()]
        yield from (value for value in held if isinstance(value, Tensor))


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
