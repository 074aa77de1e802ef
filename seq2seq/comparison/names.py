"""Runs named by what tells them apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from seq2seq.config import Config
from seq2seq.schema import COMPONENTS, show
from seq2seq.training.resume import COMMAND, WITHOUT_EFFECT, flat

MINOR = {  # named only where nothing else differs: what the machine or the data came to
    *("device", "threads", "deterministic", "scheduler.decay_updates", "attention.prior_slope")
}
PATHS = {"init", "data.train", "data.valid", "data.test", "tokenizer.model"}
LONGEST = 60  # characters of a name made of options
MISSING = object()  # the value of an option that isn't there


def differing(configs: Sequence[Config], ignored: Collection[str] = ()) -> list[dict[str, Any]]:
    """Of each config the options, by dotted key, that not all of them share.

    Where another component has been chosen, its own defaults go without saying.
    """
    flats = [flat(config) for config in configs]
    names = [f"{group}.name" for group in COMPONENTS]
    chosen = [name for name in names if len({one[name] for one in flats}) > 1]
    told = [_told(one, chosen) for one in flats]
    keys = dict.fromkeys(key for one in told for key in one if key not in {*COMMAND, *WITHOUT_EFFECT, *ignored})
    varied = [key for key in keys if any(one.get(key, MISSING) != told[0].get(key, MISSING) for one in told)]
    varied.sort(key="seed".__eq__)  # last, behind what it repeats
    return [{key: one[key] for key in varied if key in one} for one in told]


class Run(Protocol):
    """What a run is named by."""

    @property
    def config(self) -> Config: ...

    @property
    def path(self) -> Path: ...


def named(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: the options that tell it from the others, or else its folder."""
    configs = [run.config for run in runs]
    for ignored in (MINOR, ()):
        names = spelled(differing(configs, ignored))
        if len(set(names)) == len(names) and all(0 < len(name) <= LONGEST for name in names):
            return names
    return _folders([run.path for run in runs])


def spelled(options: Sequence[dict[str, Any]]) -> list[str]:
    """Options as on the command line, but for the part of a key that goes without saying: `label_smoothing=0.1`."""
    keys = {key for one in [*options, flat(Config())] for key in one}
    return [" ".join(f"{_short(key, keys)}={_value(key, value)}" for key, value in one.items()) for one in options]


def _told(options: dict[str, Any], chosen: Collection[str]) -> dict[str, Any]:
    """The options without the defaults of those components that are `chosen`, by the key of their name."""
    defaults: dict[str, Any] = {}
    for name in chosen:
        group = name.removesuffix("name")
        defaults |= {group + key: value for key, value in flat(COMPONENTS[group[:-1]][options[name]]()).items()}
    return {key: value for key, value in options.items() if key in chosen or defaults.get(key, MISSING) != value}


def _short(key: str, keys: Collection[str]) -> str:
    """`attention` for attention.name; the last part alone where no other key has it."""
    group, _, last = key.rpartition(".")
    if last == "name":
        return group
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def _value(key: str, value: Any) -> str:
    """Of a path no more than its end."""
    return show("/".join(Path(value).parts[-2:]) if key in PATHS and isinstance(value, str) else value)


def _folders(paths: Sequence[Path]) -> list[str]:
    """Their last names, or the whole paths where these are the same."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) and all(names) else [str(path) for path in paths]
