"""Going on with a run: what of its config and data may have changed since, and what may not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from seq2seq.config import Config
from seq2seq.errors import CheckpointError
from seq2seq.schema import show

# What a training may go on with another value of. Those in MACHINE leave the computation the same but for rounding.
COMMAND = {"run", "resume", "dry_run"}
FREE = {
    *("data.test", "data.cache", "data.workers", "scheduler.decay_updates"),
    *(f"trainer.{key}" for key in ("max_epochs", "max_updates", "max_minutes", "patience", "max_skipped")),
    *(f"trainer.{key}" for key in ("validate_every", "save_every", "save_minutes", "keep_last", "keep_best")),
    *(f"trainer.{key}" for key in ("log_every", "log_seconds", "translate_batch", "samples", "tensorboard")),
}
WITHOUT_EFFECT = {  # on what comes out
    *("data.cache", "data.workers"),
    *(f"trainer.{key}" for key in ("save_every", "save_minutes", "keep_last", "keep_best", "log_every", "log_seconds")),
    *(f"trainer.{key}" for key in ("translate_batch", "samples", "tensorboard")),
}
MACHINE = {"device", "precision", "threads", "deterministic"}
BY_CONTENT = {"data.train", "data.valid"}  # files may have moved: their SHA-256 count


def amended(stored: Config, asked: Mapping[str, Any], keys: Iterable[str]) -> Config:
    """`stored` with what the plain options `asked` have at `keys`, such as `trainer.max_epochs`.

    A key may be below an option (`data.test.news`) or above some (`metric`); one that isn't in `asked` changes nothing.

    Raises:
        ConfigError: unknown or impossible options.
    """
    plain = stored.to_dict()
    for key in keys:
        options, place, given, names = stored, plain, asked, key.split(".")
        while names[1:] and dataclasses.is_dataclass(getattr(options, names[0], None)):
            name = names.pop(0)
            options, place, given = getattr(options, name), place[name], given[name]
        name = names[0]
        if name in given:
            above = dataclasses.is_dataclass(getattr(options, name, None)) and isinstance(given[name], Mapping)
            place[name] = {**place[name], **given[name]} if above else given[name]
    return Config.from_dict(plain)


def continued(stored: Config, asked: Config, where: str) -> tuple[Config, dict[str, tuple[Any, Any]]]:
    """The config to go on with, and what is different in it, as (before, now) by key.

    `auto` asks for what it came to when the run began.

    Raises:
        CheckpointError: with all differences that would make it another training.
    """
    changed = differences(stored, asked)
    before, now = flat(stored), flat(asked)
    refused = {
        key: pair
        for key, pair in changed.items()
        if key not in FREE | MACHINE | BY_CONTENT and key in before and key in now  # another component has other keys
    }
    if _repeats(stored) != _repeats(asked):
        refused["data.train"] = (stored.data.train, asked.data.train)
    if refused:
        lines = [f"{key}: {show(old)} in the run, {show(new)} asked for" for key, (old, new) in refused.items()]
        raise CheckpointError(
            "\n".join([f"run={where} can't be gone on with under another config:", *lines])
            + "\nleave these options out to go on with the run's own, or name another folder"
        )
    return amended(stored, asked.to_dict(), [*changed, "run"]), changed


def differences(stored: Config, asked: Config) -> dict[str, tuple[Any, Any]]:
    """The options that differ, as (before, now) by key; `auto` asks for what it came to."""
    before, now = flat(stored), flat(asked)
    return {
        key: (before.get(key), now.get(key))
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and now.get(key) != "auto" and key not in COMMAND
    }


def refuse_changed_data(stored: Mapping[str, Any], found: Mapping[str, Any], where: str) -> None:
    """CheckpointError where training or validation files have another content than they had; names may differ.

    Both are as in data.json: under "train" and "valid", SHA-256 by path.
    """
    faults = [
        f"data.{role}: {fault}"
        for role in ("train", "valid")
        for fault in _file_faults(stored.get(role, {}), found.get(role, {}))
    ]
    if faults:
        raise CheckpointError(
            "\n".join([f"run={where} was trained on other data:", *faults])
            + "\nbring the files back, or train anew in another folder (init=FOLDER starts from its weights)"
        )


def _file_faults(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What is different, by file, between these SHA-256 by path; nothing where only the paths are."""
    if list(old.values()) == list(new.values()):
        return []
    gone = [path for path, content in old.items() if content not in new.values()]
    come = [path for path, content in new.items() if content not in old.values()]
    return [
        *(f"{path} has changed" for path in gone if path in come),
        *(f"{path} is missing" for path in gone if path not in come),
        *(f"{path} is new" for path in come if path not in gone),
    ] or [f"the same files in another order or number: {', '.join(new)}"]


def _repeats(config: Config) -> list[int]:
    """Which training texts are the same as which: files are told by their content, but not how often each is read."""
    prefixes = config.data.train_prefixes()
    return [prefixes.index(prefix) for prefix in prefixes]


def flat(options: Any, prefix: str = "") -> dict[str, Any]:
    """Nested options by dotted key."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            values |= flat(value, f"{prefix}{field.name}.")
        else:
            values[f"{prefix}{field.name}"] = value
    return values
