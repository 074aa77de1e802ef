"""A checkpoint's manifest: what belongs to it, and by what it is known to be whole."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from seq2seq.errors import DamagedError
from seq2seq.files import read_json

Part = Literal["weights", "training"]
PARTS: tuple[Part, Part] = ("weights", "training")


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint holds. `rank` orders checkpoints, the lowest being the best; None: it was not validated."""

    update: int
    again: bool  # in the files of a second saving
    rank: float | None
    scores: dict[str, float]
    state: dict[str, Any]  # of the training, without its tensors
    files: dict[str, dict[str, Any]]  # of each part, "bytes" and "sha256"

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """CheckpointError where it can't be read, or a bit of it is not as it was written."""
        content = read_json(path)
        if content.pop("digest", None) != _digest(content):
            raise DamagedError(f"{path} is damaged: its digest is not that of its content")
        manifest = _parsed(content)
        if manifest is None or manifest.update != update_of(path):
            raise DamagedError(f"{path} is damaged: it is not the manifest of this checkpoint")
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with its own digest."""
        content = asdict(self)
        return {**content, "digest": _digest(content)}

    def file(self, part: Part) -> str:
        """The name of the file of a part."""
        return part_name(self.update, part, self.again)

    @property
    def order(self) -> tuple[bool, float, int]:
        """The best first, of equals the oldest, and those without a rank at the end, the newest first."""
        if self.rank is None:
            return True, 0.0, -self.update
        return False, float(self.rank), self.update


def part_name(update: int, part: Part, again: bool) -> str:
    """The file of a part, in a first or a second saving."""
    return f"{update:08d}.{'again.' if again else ''}{part}.safetensors"


def update_of(path: Path) -> int:
    """Of which a checkpoint's file is."""
    return int(path.name.partition(".")[0])


def _parsed(content: Mapping[str, Any]) -> Manifest | None:
    """None where something isn't of the kind that is written."""
    try:
        manifest = Manifest(**content)
        files, rank = [manifest.files[part] for part in PARTS], manifest.rank
        numbers = [manifest.update, *(file["bytes"] for file in files)]
        sound = (
            all(type(number) is int and 0 <= number < 10**15 for number in numbers)
            and all(isinstance(file["sha256"], str) for file in files)
            and isinstance(manifest.again, bool)
            and (rank is None or (isinstance(rank, int | float) and math.isfinite(rank)))
            and isinstance(manifest.scores, dict) and isinstance(manifest.state, dict)
        )  # fmt: skip
    except (TypeError, KeyError, OverflowError):
        return None
    return manifest if sound else None


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
