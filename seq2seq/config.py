"""The config of a run, and `Config.from_dict`, the one strict way in."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal

from seq2seq.errors import ConfigError
from seq2seq.options import (
    AdamConfig,
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
from seq2seq.schema import Faults, parse

FORMAT_VERSION = 1


def _group(name: str, default: Callable[[], Any]) -> Any:
    return field(default_factory=default, metadata={"group": name})


@dataclass(frozen=True)
class Config(RuntimeConfig):
    """Everything that a training run depends on. `Config.from_dict` checks it whole."""

    run: str | None = None
    init: str | None = None
    seed: int = number(1, 0)
    embedding_size: int = number(256, 1)
    tie_embeddings: Literal["auto", "none", "output", "all"] = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    encoder: Any = _group("encoder", LSTMEncoderConfig)
    attention: Any = _group("attention", LuongGeneralConfig)
    decoder: Any = _group("decoder", LSTMDecoderConfig)
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
        plain = {key: value for key, value in plain.items() if key != "format_version"}
        load_plugins()
        config: Config = checked(cls, plain, _impossible)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as config.json holds it; `Config.from_dict` takes it back."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    def replace(self, **changes: Any) -> Config:
        return dataclasses.replace(self, **changes)

    @property
    def attend(self) -> Place:
        """Where attention stands: the decoder's own choice, or else the attention's paper's."""
        place: Place = self.attention.attend if self.decoder.attend == "auto" else self.decoder.attend
        return place

    @property
    def decoder_size(self) -> int:
        size: int | str = self.decoder.hidden_size
        return self.encoder.output_size if isinstance(size, str) else size

    @property
    def readout_size(self) -> int:
        size: int | str = self.decoder.readout_size
        return self.embedding_size if isinstance(size, str) else size

    @property
    def tied(self) -> Literal["none", "output", "all"]:
        if self.tie_embeddings != "auto":
            return self.tie_embeddings
        if self.readout_size != self.embedding_size:
            return "none"
        return "all" if self.tokenizer.shared else "output"


def checked(cls: type[Any], plain: Mapping[str, Any], impossible: Callable[[Any], list[str]]) -> Any:
    """`plain` as a `cls`, after the checks of every key alone and then of the keys together."""
    faults = Faults()
    config = parse(cls, plain, faults)
    if config is not None:
        faults.extend(impossible(config))
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def load_plugins() -> None:
    """Components of installed packages: entry points of the group `seq2seq.components` register when loaded."""
    if "plugins" not in _LOADED:
        _LOADED.add("plugins")
        for plugin in entry_points(group="seq2seq.components"):
            plugin.load()


_LOADED: set[str] = set()


def interval(text: int | str) -> tuple[int | None, int | None]:
    """`validate_every` and `save_every` as (updates, epochs), one of which is None: `500` or `"1 epoch"`."""
    if isinstance(text, int):
        return text, None
    match = re.fullmatch(r"([1-9]\d*) epochs?", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not an interval: use a number of updates such as 500, or '1 epoch'")
    return None, int(match[1])


def _impossible(config: Config) -> list[str]:
    """Pairs of options that can't go together, each with a way out."""
    faults = []
    encoder, attention, decoder, trainer = config.encoder, config.attention, config.decoder, config.trainer
    if attention.name == "luong_dot" and config.decoder_size != encoder.output_size:
        faults.append(
            f"attention=luong_dot needs decoder.hidden_size ({config.decoder_size}) to equal the encoder's output size "
            f"({encoder.output_size}); use attention=luong_general or set decoder.hidden_size={encoder.output_size}"
        )
    if (attention.name == "none") != (config.attend == "none"):
        faults.append(
            f"attention={attention.name} and decoder.attend={config.attend} contradict each other; "
            "use decoder.attend=auto, or attention=none for a decoder without attention"
        )
    if decoder.input_feeding and config.attend != "after_rnn":
        faults.append(
            f"decoder.input_feeding=true needs attention after the RNN, but attention={attention.name} has "
            f"{config.attend}: there is no attentional vector to feed; set decoder.input_feeding=false"
        )
    if config.tied != "none" and config.readout_size != config.embedding_size:
        faults.append(
            f"tie_embeddings={config.tied} needs decoder.readout_size ({config.readout_size}) to equal embedding_size "
            f"({config.embedding_size}); set decoder.readout_size=auto or tie_embeddings=none"
        )
    if config.tied == "all" and not config.tokenizer.shared:
        faults.append("tie_embeddings=all needs one vocabulary: set tokenizer.shared=true or tie_embeddings=output")
    if (trainer.batch_tokens is None) == (trainer.batch_sentences is None):
        faults.append("set exactly one of trainer.batch_tokens and trainer.batch_sentences, and the other to null")
    if trainer.max_epochs is None and trainer.max_updates is None and trainer.max_minutes is None:
        faults.append("set at least one of trainer.max_epochs, trainer.max_updates and trainer.max_minutes")
    for name in ("validate_every", "save_every"):
        try:
            interval(getattr(trainer, name))
        except ConfigError as error:
            faults.append(f"trainer.{name}={error}")
    if (
        config.scheduler.name == "cosine"
        and config.scheduler.decay_updates == "auto"
        and not (trainer.max_updates or trainer.max_epochs)
    ):
        faults.append("scheduler=cosine needs scheduler.decay_updates where neither max_updates nor max_epochs is set")
    for name in config.data.tests():
        if name in ("train", "valid") or not re.fullmatch(r"\w[\w .+-]{0,99}", name):
            faults.append(
                f"data.test: {name!r} can't be a test set's name, which names its files in translations/: use letters, "
                "digits, '_', '-', '+', '.' and spaces, and neither train nor valid"
            )
    return faults + search_faults(config.search)


def search_faults(search: SearchConfig) -> list[str]:
    """Pairs of search options that can't go together."""
    faults = []
    if search.n_best > search.beam_size and not search.sample:
        faults.append(
            f"search.n_best={search.n_best} is more than search.beam_size={search.beam_size} can find; "
            f"set search.beam_size={search.n_best}"
        )
    if search.min_length > search.max_length:
        faults.append(f"search.min_length={search.min_length} is more than search.max_length={search.max_length}")
    return faults
