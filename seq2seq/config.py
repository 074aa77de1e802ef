"""The config of a run, and `Config.from_dict`, the one strict way in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from seq2seq.combinations import impossible
from seq2seq.errors import ConfigError
from seq2seq.options import (
    AdamConfig,
    CrossEntropyConfig,
    DataConfig,
    LSTMDecoderConfig,
    LSTMEncoderConfig,
    LuongGeneralConfig,
    MetricConfig,
    Place,
    PlateauConfig,
    RuntimeConfig,
    SearchConfig,
    TokenizerConfig,
    TrainerConfig,
    number,
)
from seq2seq.options.base import LARGEST_SIZE
from seq2seq.schema import Faults, parse

FORMAT_VERSION = 2
Checked = TypeVar("Checked")


def _group(name: str, default: Callable[[], Any]) -> Any:
    return field(default_factory=default, metadata={"group": name})


@dataclass(frozen=True)
class Config(RuntimeConfig):
    """Everything that a training run depends on. `Config.from_dict` checks it whole."""

    run: str | None = None
    resume: Literal["never", "auto"] = "never"
    dry_run: bool = False
    init: str | None = None
    seed: int = number(1, 0)
    embedding_size: int = number(256, 1, LARGEST_SIZE)
    tie_embeddings: Literal["auto", "none", "output", "all"] = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    encoder: Any = _group("encoder", LSTMEncoderConfig)
    attention: Any = _group("attention", LuongGeneralConfig)
    decoder: Any = _group("decoder", LSTMDecoderConfig)
    objective: Any = _group("objective", CrossEntropyConfig)
    optimizer: Any = _group("optimizer", AdamConfig)
    scheduler: Any = _group("scheduler", PlateauConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    metric: MetricConfig = field(default_factory=MetricConfig)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Config:
        """A checked config from plain data: Hydra's, a run's config.json, or written in Python.

        Raises:
            ConfigError: unknown keys (with a suggestion), wrong types, impossible pairs; all faults at once.
        """
        load_plugins()
        if isinstance(plain, Mapping):
            plain = {key: value for key, value in plain.items() if key != "format_version"}
        return checked(cls, plain, impossible)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as config.json holds it; `Config.from_dict` takes it back."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    def replace(self, **changes: Any) -> Config:
        return dataclasses.replace(self, **changes)

    @property
    def attend(self) -> Place:
        """Where attention stands: the decoder's own choice, or else the attention's paper's."""
        place: Place = self.decoder.place(self.attention.attend)
        return place

    @property
    def encoder_size(self) -> int:
        """M, the size of what is attended to."""
        size: int = self.encoder.output_size(self.embedding_size)
        return size

    @property
    def decoder_size(self) -> int:
        """H, the size of the decoder's states, which ask."""
        size: int = self.decoder.state_size(self.embedding_size, self.encoder_size)
        return size

    @property
    def readout_size(self) -> int:
        """F, the size of the features that the output layer reads."""
        size: int = self.decoder.features(self.embedding_size)
        return size

    @property
    def longest_source(self) -> int | None:
        """The most source pieces, EOS counted, that encoder and attention can read; None: any number."""
        limits = [limit for limit in (self.encoder.longest, self.attention.longest) if limit is not None]
        return min(limits, default=None)

    @property
    def tied(self) -> Literal["none", "output", "all"]:
        if self.tie_embeddings != "auto":
            return self.tie_embeddings
        if self.readout_size != self.embedding_size:
            return "none"
        return "all" if self.tokenizer.shared else "output"


def checked(
    cls: type[Checked], plain: Mapping[str, Any], impossible: Callable[[Checked], list[str]], where: str = ""
) -> Checked:
    """`plain` as a `cls`, after the checks of every key alone and then of the keys together.

    `where` is the key under which a user finds these options: `search` of `search.beam_size`.

    Raises:
        ConfigError: with all faults.
    """
    faults = Faults()
    config = parse(cls, plain, faults, where)
    if config is not None:
        faults.extend(impossible(config))
    if faults or config is None:
        raise ConfigError("\n".join(faults))
    return config


def load_plugins() -> None:
    """Components of installed packages: entry points of the group `seq2seq.components` register when loaded."""
    if "plugins" not in _LOADED:
        _LOADED.add("plugins")
        for plugin in entry_points(group="seq2seq.components"):
            plugin.load()


_LOADED: set[str] = set()
