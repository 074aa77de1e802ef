"""Checkpoints of a run: weights and training state by update, each whole or not there at all.

A checkpoint is three files: UPDATE.weights.safetensors, UPDATE.training.safetensors and, written last, UPDATE.json, the
manifest, which holds the others' sizes and SHA-256, the plain part of the training state, the validation's scores, and
a digest of itself. An update that is saved a second time, after a validation, has the others as UPDATE.again.*, so that
its first checkpoint stays whole until the manifest is replaced. The files hold tensors and plain data alone; nothing in
them can run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.errors import CheckpointError, DamagedError
from seq2seq.files import check_space, read_json, sha256, write_atomically, write_json
from seq2seq.models.weights import distinct, fit
from seq2seq.nested import apart, together

LOGGER = logging.getLogger("seq2seq")

Which = Literal["best", "last"]
Part = Literal["weights", "training"]
PARTS: tuple[Part, Part] = ("weights", "training")
OURS = re.compile(r"([0-9]{8}|[1-9][0-9]{8,14})\.(json|(again\.)?(weights|training)\.safetensors)")
UNFINISHED = re.compile(r"\..+\.partial|\.tmp.+")  # what a kill leaves: ours, and that of safetensors
LONGEST_QUOTE = 200  # from a file, in a message


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint holds. `rank` orders checkpoints, the lowest being the best; None: it was not validated."""

    update: int
    again: bool  # in the files of a second saving
    rank: float | None
    scores: dict[str, float]
    state: dict[str, Any]  # of the training, without its tensors
    files: dict[str, dict[str, Any]]  # of each part, "bytes" and "sha256"


class Checkpoints:
    """The checkpoints in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writing: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(
        self,
        update: int,
        model: nn.Module,
        state: Mapping[str, Any],
        *,
        rank: float | None,
        scores: Mapping[str, float],
        keep_last: int,
        keep_best: int,
    ) -> None:
        """Copies weights and state, and returns; a thread writes them, and then drops all but the newest and the best.

        Raises:
            CheckpointError: no room on the disk; or the checkpoint before this one could not be written.
        """
        self.wait()
        plain, tensors = apart(state)
        weights = distinct(model)
        needed = sum(t.numel() * t.element_size() for part in (weights, tensors) for t in part.values())
        if not self.folder.is_dir():
            raise CheckpointError(f"{self.folder} is gone: it was deleted or moved while the training ran")
        check_space(self.folder, needed, f"the checkpoint of update {update}")
        parts: dict[Part, dict[str, Tensor]] = {"weights": _copies(weights), "training": _copies(tensors)}

        def write() -> None:
            try:
                self._write(update, parts, plain, rank, dict(scores))
                self.drop(keep_last, keep_best)
            except BaseException as error:  # handed to the training by the next wait
                self._failure = error

        self._writing = threading.Thread(target=write, name=f"checkpoint-{update}", daemon=True)
        self._writing.start()

    def settle(self) -> None:
        """Until nothing is written any more."""
        if self._writing is not None:
            self._writing.join()
        self._writing = None

    def wait(self) -> None:
        """Until what `save` began is on the disk; raises what kept it from getting there."""
        self.settle()
        failure, self._failure = self._failure, None
        if isinstance(failure, OSError | SafetensorError):
            raise CheckpointError(
                f"{self.folder}: a checkpoint can't be written: {getattr(failure, 'strerror', None) or failure}"
            ) from failure
        if failure is not None:
            raise failure

    def newest(self, warn: bool = True) -> list[Manifest]:
        """Those with whole manifests and files of full size, the newest first; of the others, a warning."""
        found = []
        for path in sorted(self._manifests(), key=_update, reverse=True):
            try:
                found.append(self._manifest(path))
            except DamagedError as error:
                if warn:
                    LOGGER.warning("%s; another checkpoint is used", error)
        return found

    def best(self) -> list[Manifest]:
        """The same with the best first, and those without a validation behind them."""
        return sorted(self.newest(), key=_by_rank)

    def read(self, manifest: Manifest, part: Part) -> dict[str, Tensor]:
        """The tensors of a part, on the CPU, once size and digest have been found right.

        Raises:
            CheckpointError: missing, damaged, or no file of tensors.
        """
        file = self._sized(manifest, part)
        try:
            if sha256(file) != manifest.files[part]["sha256"]:
                raise DamagedError(f"{file} is damaged: its SHA-256 is not that of the manifest")
            with safe_open(file, framework="pt") as opened:  # lengths are checked against the file's before any read
                return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
        except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
            raise DamagedError(f"{file} can't be read as tensors: {_brief(error)}") from error
        except (OSError, MemoryError) as error:
            raise CheckpointError(f"{file} can't be read: {_brief(error)}") from error

    def weights(self, which: Which) -> tuple[Manifest, dict[str, Tensor], str]:
        """The best or the last checkpoint, or where it is damaged the next one: its weights, and their file's name.

        Raises:
            CheckpointError: nothing was saved, or all is damaged.
        """
        look, tried = self.best if which == "best" else self.newest, set[Path]()
        while untried := [one for one in look() if self._file(one, "weights") not in tried]:
            for manifest in untried:
                file = self._file(manifest, "weights")
                if (parts := self._whole(manifest, ["weights"])) is not None:
                    return manifest, parts["weights"], str(file)
                tried.add(file)  # and look again: a training at work here has newer ones when it drops these
        damaged = "all are damaged" if self._manifests() else "its training saved none yet"
        raise CheckpointError(f"{self.folder} holds no checkpoint that can be used: {damaged}")

    def load_weights(self, model: nn.Module, which: Which) -> Manifest:
        """Puts these weights into `model`. CheckpointError also where they are another model's."""
        manifest, weights, origin = self.weights(which)
        fit(model, weights, origin)
        return manifest

    def load_newest(self, model: nn.Module) -> tuple[Manifest, dict[str, Any]] | None:
        """The newest whole checkpoint: its weights into `model`, and its training state; None where there is none."""
        for manifest in self.newest():
            if (parts := self._whole(manifest, PARTS)) is not None:
                state = together(manifest.state, parts["training"])
                fit(model, parts["weights"], str(self._file(manifest, "weights")))
                return manifest, state
        return None

    def ranks(self) -> list[float]:
        """Of all that were validated, the best first."""
        self.wait()
        return sorted(manifest.rank for manifest in self.newest(warn=False) if manifest.rank is not None)

    def drop(self, keep_last: int, keep_best: int) -> None:
        """Deletes all but the newest and the best, and what an interrupted writing left."""
        newest = self.newest(warn=False)
        validated = [manifest for manifest in sorted(newest, key=_by_rank) if manifest.rank is not None]
        kept = [*newest[:keep_last], *validated[:keep_best]]
        files = {self._path(one.update) for one in kept} | {self._file(one, part) for one in kept for part in PARTS}
        self._delete(lambda path: path not in files)

    def drop_after(self, update: int) -> None:
        """Deletes what is newer than this update: damaged, for a training goes on from the newest that is whole."""
        self._delete(lambda path: _update(path) > update)

    def _write(
        self,
        update: int,
        parts: Mapping[Part, dict[str, Tensor]],
        state: dict[str, Any],
        rank: float | None,
        scores: dict[str, float],
    ) -> None:
        again = any(one.update == update and not one.again for one in self.newest(warn=False))
        files = dict[str, dict[str, Any]]()
        for part, tensors in parts.items():
            path = self.folder / _name(update, part, again)
            write_atomically(path, lambda file, tensors=tensors: save_file(tensors, file))  # type: ignore[misc]
            files[part] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        content = asdict(Manifest(update, again, rank, scores, state, files))
        write_json(self._path(update), {**content, "digest": _digest(content)})

    def _manifest(self, path: Path) -> Manifest:
        """CheckpointError where a bit of it is not as it was written, or a part isn't there in full size."""
        content = read_json(path)
        if content.pop("digest", None) != _digest(content):
            raise DamagedError(f"{path} is damaged: its digest is not that of its content")
        manifest = _parsed(content)
        if manifest is None or manifest.update != _update(path):
            raise DamagedError(f"{path} is damaged: it is not the manifest of this checkpoint")
        for part in PARTS:
            self._sized(manifest, part)
        return manifest

    def _sized(self, manifest: Manifest, part: Part) -> Path:
        """The file of a part. CheckpointError where it isn't there in full size."""
        file, expected = self._file(manifest, part), manifest.files[part]["bytes"]
        try:
            size = file.stat().st_size if file.is_file() else None
        except OSError as error:
            raise CheckpointError(f"{file} can't be read: {error.strerror}") from error
        if size != expected:
            wrong = "is missing" if size is None else f"is damaged: {size:,} bytes, not {expected:,}"
            raise DamagedError(f"{file} {wrong}")
        return file

    def _whole(self, manifest: Manifest, parts: Sequence[Part]) -> dict[Part, dict[str, Tensor]] | None:
        """These parts, or None after a warning that names what is damaged."""
        try:
            return {part: self.read(manifest, part) for part in parts}
        except DamagedError as error:
            LOGGER.warning("%s; another checkpoint is used", error)
            return None

    def _manifests(self) -> list[Path]:
        return [path for path in self.folder.glob("*.json") if OURS.fullmatch(path.name) and path.is_file()]

    def _delete(self, doomed: Callable[[Path], bool]) -> None:
        """The manifests first, so that what is left of a checkpoint is never taken for one."""
        parts = [path for path in self.folder.glob("*.safetensors") if OURS.fullmatch(path.name) and path.is_file()]
        partial = [path for path in self.folder.glob(".*") if UNFINISHED.fullmatch(path.name) and path.is_file()]
        for path in [*filter(doomed, self._manifests()), *filter(doomed, parts), *partial]:
            path.unlink(missing_ok=True)

    def _path(self, update: int) -> Path:
        return self.folder / f"{update:08d}.json"

    def _file(self, manifest: Manifest, part: Part) -> Path:
        return self.folder / _name(manifest.update, part, manifest.again)


def _name(update: int, part: Part, again: bool) -> str:
    return f"{update:08d}.{'again.' if again else ''}{part}.safetensors"


def _update(path: Path) -> int:
    """Of which a file is."""
    return int(path.name.partition(".")[0])


def _parsed(content: Mapping[str, Any]) -> Manifest | None:
    """None where something isn't of the kind that `save` writes."""
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


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _by_rank(manifest: Manifest) -> tuple[bool, float, int]:
    """The best first, of equals the oldest, and those without a rank at the end, the newest first."""
    if manifest.rank is None:
        return True, 0.0, -manifest.update
    return False, float(manifest.rank), manifest.update


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _brief(error: BaseException) -> str:
    """The first line of a message, which may quote what anybody has written."""
    line = next(iter(str(error).splitlines()), type(error).__name__)[:LONGEST_QUOTE]
    return line if line.isprintable() else repr(line)
