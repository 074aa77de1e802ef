"""The files that a recipe starts from: fetched or found in a local folder, and known by their hashes."""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from seq2seq.errors import DataError
from seq2seq.preparation.download import FetchError, fetch
from seq2seq.preparation.options import PrepareConfig, RecipeConfig

LOGGER = logging.getLogger("seq2seq")


class Found(NamedTuple):
    """A recipe's file, where it is now and where it came from."""

    path: Path
    sha256: str
    origin: str


def obtain(config: PrepareConfig, seen: Mapping[str, str]) -> dict[str, Found]:
    """All files of the recipe, by name.

    Where the recipe has no hash, one `seen` before must be the same still.

    Raises:
        DataError: not there, not to be fetched, or another file than the recipe's.
    """
    recipe = config.recipe
    expected = {name: recipe.sha256.get(name) or seen.get(name) for name in recipe.files}
    if config.local is not None:
        places = _places(recipe, Path(config.local))
        return {name: _checked(name, path, str(path), expected[name]) for name, path in places.items()}
    folder = config.place / "downloads"
    try:
        return {name: _fetched(url, folder / name, expected[name]) for name, url in recipe.files.items()}
    except FetchError as error:
        wanted = "\n".join(f"  {url}" for url in recipe.files.values())
        raise DataError(
            f"{error}\nif it stays so, fetch these by hand into one folder, and add local=FOLDER:\n{wanted}"
        ) from error


def _fetched(url: str, path: Path, expected: str | None) -> Found:
    if path.is_file() and expected is not None:
        try:
            return _checked(path.name, path, url, expected)
        except DataError as error:
            LOGGER.warning("%s; it is fetched again", error)
    fetch(url, path, expected)
    try:
        return _checked(path.name, path, url, expected)
    except DataError:
        path.unlink(missing_ok=True)  # else the next run would take it for the file
        raise


def _places(recipe: RecipeConfig, local: Path) -> dict[str, Path]:
    """Where the local folder has each file: under the recipe's name or the address's, in a .gz or not."""
    places, missing = {}, []
    for name, url in recipe.files.items():
        names = [candidate for known in (name, url.rpartition("/")[2]) for candidate in _spellings(known)]
        there = [local / candidate for candidate in names if (local / candidate).is_file()]
        if there:
            places[name] = there[0]
        else:
            missing.append(f"  {name}: {url}")
    if missing:
        what = "has no" if local.is_dir() else "is no folder; it should have"
        raise DataError("\n".join([f"local={local} {what}", *missing]))
    return places


def _spellings(name: str) -> list[str]:
    unpacked = name.removesuffix(".gz")
    return [name] if name.endswith(".tar.gz") else [name, unpacked, f"{unpacked}.gz"]


def _checked(name: str, path: Path, origin: str, expected: str | None) -> Found:
    found = _sha256(path)
    if expected is None:
        LOGGER.warning("%s: no public SHA-256 to compare with; this one has %s", name, found)
    elif found != expected:
        raise DataError(f"{path} is not the file that the recipe means: its SHA-256 is {found}, not {expected}")
    return Found(path, found, origin)


def _sha256(path: Path) -> str:
    """Of the file, or of what is in it if it is a .gz: packed again, the same text makes another file."""
    packed = path.suffix == ".gz" and not path.name.endswith(".tar.gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a complete gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
