"""Files that others may find: written whole or not at all, read with limits, and never outside their folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seq2seq.errors import CheckpointError, DamagedError

LARGEST_JSON = 16 * 2**20  # bytes; ours have a few thousand
DEEPEST_JSON = 50  # lists and objects inside each other; ours have ten at most
SPARE = 16 * 2**20  # bytes left free on a disk, for logs and metrics


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a name beside `path`, syncs what it wrote, renames it into place, and syncs the folder.

    A reader finds the old file or the new one, whole, whenever the process or the machine stops.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask asks for, and not what a library that writes may choose
        write(temporary)
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Plain data, as people can read it, atomically."""
    text = json_text(content)
    # a file name that isn't UTF-8 has lone surrogates, which JSON can spell as \udcXX
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8", errors="backslashreplace"))


def json_text(content: Mapping[str, Any]) -> str:
    """Plain data as JSON that people can read."""
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """An object of JSON, no deeper than what any of Python's recursive functions can go through.

    Raises:
        DamagedError: missing, too large to be one of ours, or not an object of JSON.
    """
    try:
        if not path.is_file():  # a named pipe would be waited for
            raise DamagedError(f"{path} is {'not a file' if os.path.lexists(path) else 'missing'}")
        if path.stat().st_size > LARGEST_JSON:
            raise DamagedError(f"{path} is larger than {LARGEST_JSON // 2**20} MiB; no file of a run is")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from error
    except RecursionError as error:
        raise DamagedError(f"{path} is not valid JSON: {TOO_DEEP}") from error
    except ValueError as error:  # not UTF-8, not JSON, or a number of too many digits
        raise DamagedError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise DamagedError(f"{path} must hold a JSON object")
    if _depth(content) > DEEPEST_JSON:
        raise DamagedError(f"{path} is not valid JSON: {TOO_DEEP}")
    return content


def told(content: Any, *place: str) -> Any:
    """What stands there in nested mappings, or None: what is in a file may have another shape than ours."""
    for key in place:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def number_told(content: Any, *place: str) -> float | None:
    """The same where it is a number."""
    value = told(content, *place)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def refuse_foreign(folder: Path) -> None:
    """CheckpointError where something below `folder` is neither file nor folder, or a link out of it."""
    root = Path(os.path.realpath(folder))
    try:
        for parent, folders, files in os.walk(folder, onerror=_fail):
            for path in (Path(parent, name) for name in (*folders, *files)):
                if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                    raise CheckpointError(
                        f"{_shown(path)} is a link out of its folder; a run reads and writes nothing elsewhere"
                    )
                if path.exists() and not (path.is_file() or path.is_dir()):
                    raise CheckpointError(f"{_shown(path)} is neither a file nor a folder")
    except OSError as error:
        raise CheckpointError(f"{folder} can't be read: {error.strerror}") from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """CheckpointError where the disk of `folder` has less room than `needed` bytes and a few to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise CheckpointError(
            f"{folder}: {what} needs {mebibytes(needed + SPARE)} of disk, but {mebibytes(free)} are free; "
            "make room and go on from the last checkpoint"
        )


def mebibytes(size: float) -> str:
    return f"{size / 2**20:,.1f} MiB"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes as they lie on the disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


TOO_DEEP = "too many lists or objects inside each other"


def _depth(content: Any) -> int:
    """How many lists and objects there are inside each other, found without recursion; no more than one too many."""
    depth, level = 0, [content]
    while depth <= DEEPEST_JSON and (level := [value for value in level if isinstance(value, dict | list)]):
        level = [item for value in level for item in (value.values() if isinstance(value, dict) else value)]
        depth += 1
    return depth


def _shown(path: Path) -> str:
    """A name that anybody may have chosen, with nothing in it that a terminal obeys."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _fail(error: OSError) -> None:
    raise error


def _sync_folder(folder: Path) -> None:
    """The renaming itself reaches the disk with the folder that it changed."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
