"""Entries of a cache folder: made once, under a lock, found by the hash of all that they depend on."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from seq2seq.errors import CheckpointError, DataError
from seq2seq.locks import Lock

LOGGER = logging.getLogger("seq2seq")
Entry = TypeVar("Entry")


class Cache:
    """A folder of entries, each a folder of its own; any of them can be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, build: Callable[[Path], None], read: Callable[[Path], Entry]) -> Entry:
        """What `read` makes of the entry, which `build` writes into a new folder where it is missing or damaged.

        `read` raises CheckpointError for a damaged one. Another process that wants the same entry waits; what a killed
        one left half done is wiped. DataError where the folder can't be written.
        """
        place = self.folder / key
        try:
            return read(place)  # what is there needs no lock, and no permission to write
        except CheckpointError:
            pass
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with Lock(self.folder / f"{key}.lock") as lock:
                if not lock.acquire():
                    LOGGER.info("waiting for %s, which prepares the same data in %s", lock.owner(), place)
                    lock.wait()
                if place.exists():
                    try:
                        return read(place)  # by the one that had the lock
                    except CheckpointError as error:
                        LOGGER.warning("%s is damaged and is made again: %s", place, error)
                self._build(place, build)
                return read(place)
        except OSError as error:
            raise DataError(
                f"data.cache={self.folder} can't be written: {error.strerror or error}; "
                "set data.cache=FOLDER to a folder that can"
            ) from error

    def _build(self, place: Path, build: Callable[[Path], None]) -> None:
        partial = place.with_name(f"{place.name}.partial")
        _wipe(partial)
        partial.mkdir()
        try:
            build(partial)
            _wipe(place)
            partial.rename(place)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def key_of(**facts: Any) -> str:
    """SHA-256 over plain data."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _wipe(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
