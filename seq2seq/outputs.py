"""Files that a command's options name, to be written: looked at before any time is spent on what they are to hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seq2seq.errors import ConfigError
from seq2seq.files import json_text


def check_outputs(written: Mapping[str, str | None], read: Iterable[str | None] = ()) -> None:
    """ConfigError where a file can't be written, or would take the place of another one of the same command.

    written: names by option; None where an option names no file.
    read: the files that the command reads.
    """
    kept = [name for name in read if name is not None]
    named = [(option, name) for option, name in written.items() if name is not None]
    for place, (option, name) in enumerate(named):
        _check(option, name)
        for other in kept:
            if same_file(other, name):
                raise ConfigError(f"{option}={name} would overwrite {other}, which is read here; name another file")
        for other_option, other in named[:place]:
            if same_file(other, name):
                raise ConfigError(f"{option}={name} is {other_option}={other} too; name another file")


def refuse_existing(option: str, name: str, instead: str) -> None:
    """ConfigError where the model's translation would take the place of a file that may be somebody's work.

    An empty file, such as mktemp makes, is free to use. `instead` is what one may have meant.
    """
    if os.path.isfile(name) and os.path.getsize(name) > 0:
        raise ConfigError(
            f"{option}={name} exists already, and it is where the model's translation is written; name a new file, or "
            f"delete this one; {instead}"
        )


def same_file(name: str, other: str) -> bool:
    """Whether writing to one would change the other; devices may be shared."""
    if os.path.exists(name) and os.path.exists(other):
        return os.path.isfile(name) and os.path.samefile(name, other)
    return os.path.realpath(name) == os.path.realpath(other)


def write_output(option: str, name: str, text: str) -> None:
    """Writes the file that `option` names, which may be a device; ConfigError where it can't be written."""
    try:
        # lone surrogates stand for bytes of file names that aren't UTF-8: spelled out, they don't cost the whole text
        Path(name).write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise ConfigError(f"{option}={name}: {error.strerror}") from error


def write_lines(option: str, name: str, lines: Iterable[str]) -> None:
    """The same, each line with its end."""
    write_output(option, name, "".join(f"{line}\n" for line in lines))


def write_results(option: str, name: str, results: Mapping[str, Any]) -> None:
    """The same of plain data, as JSON."""
    write_output(option, name, json_text(results))


def make_folder(option: str, folder: Path) -> None:
    """ConfigError where there can be no such folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option}={folder} can't be made: {error.strerror}; name another one") from error


def _check(option: str, name: str) -> None:
    folder = os.path.dirname(name) or "."
    if os.path.isdir(name):
        raise ConfigError(f"{option}={name} is a folder; name a file in it")
    if not os.path.isdir(folder):
        raise ConfigError(f"{option}={name}: there is no folder {folder}; make it, or name another file")
    if not os.access(name if os.path.exists(name) else folder, os.W_OK):
        raise ConfigError(f"{option}={name} can't be written to; name another file")
