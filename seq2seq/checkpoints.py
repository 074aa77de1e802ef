"""Checkpoints of a run: weights and training state by update, each whole or not there at all.

A checkpoint is three files: UPDATE.weights.safetensors, UPDATE.training.safetensors and, written last, UPDATE.json, the
manifest, which holds the others' sizes and SHA-256, the plain part of the training state, the validation's scores, and
a digest of itself. An update that is saved a second time, after a validation, has the others as UPDATE.again.*, so that
its first checkpoint stays whole until the manifest is replaced. The files hold tensors and plain data alone; nothing in
them can run.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.errors import CheckpointError, DamagedError
from seq2seq.files import check_space, sha256, write_atomically, write_json
from seq2seq.manifest import PARTS, Manifest, Part, part_name, update_of
from seq2seq.models.weights import distinct, fit, mean
from seq2seq.nested import apart, together

LOGGER = logging.getLogger("seq2seq")

Kept = Literal["best", "last"]
Which = Literal["best", "last", "average"]  # average: the mean of several that are kept
OURS = re.compile(r"([0-9]{8}|[1-9][0-9]{8,14})\.(json|(again\.)?(weights|training)\.safetensors)")
UNFINISHED = re.compile(r"\..+\.partial|\.tmp.+")  # what a kill leaves: ours, and that of safetensors
LONGEST_QUOTE = 200  # from a file, in a message


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
        for path in sorted(self._manifests(), key=update_of, reverse=True):
            try:
                found.append(self._manifest(path))
            except DamagedError as error:
                if warn:
                    LOGGER.warning("%s; another checkpoint is used", error)
        return found

    def best(self) -> list[Manifest]:
        """The same with the best first, and those without a validation behind them."""
        return sorted(self.newest(), key=attrgetter("order"))

    def validated(self) -> list[Manifest]:
        """Those with a validation behind them, the best first."""
        return _validated(self.newest())

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

    def weights(self, which: Kept) -> tuple[Manifest, dict[str, Tensor], str]:
        """The best or the last checkpoint, or where it is damaged the next one: its weights, and their file's name.

        Raises:
            CheckpointError: nothing was saved, or all is damaged.
        """
        for manifest, weights in self._usable(self.best if which == "best" else self.newest):
            return manifest, weights, str(self._file(manifest, "weights"))
        damaged = "all are damaged" if self._manifests() else "its training saved none yet"
        raise CheckpointError(f"{self.folder} holds no checkpoint that can be used: {damaged}")

    def average(self, keep_best: int) -> tuple[list[Manifest], dict[str, Tensor], str]:
        """The mean of the weights of the best `keep_best` checkpoints, which are given too, and a name for it.

        Close to each other on one training's way, they make a model that is often better than each of them (Vaswani et
        al. 2017, section 6.1, of the last ones; Junczys-Dowmunt et al. 2016). Only what was validated is taken, and a
        damaged one gives its place to the next.

        Raises:
            CheckpointError: there are no two, or they are of different models.
        """
        used: list[Manifest] = []

        def each() -> Iterator[dict[str, Tensor]]:
            for manifest, weights in islice(self._usable(self.validated), keep_best):
                used.append(manifest)
                yield weights

        weights = mean(each(), str(self.folder))
        if len(used) < 2:
            raise CheckpointError(
                f"checkpoint=average is the mean of two or more checkpoints, but trainer.keep_best={keep_best} leaves "
                f"{len(used)} in {self.folder}; train with trainer.keep_best=5, or use checkpoint=best or last"
            )
        updates = ", ".join(f"{manifest.update:,}" for manifest in used)
        return used, weights, f"{self.folder}, the mean of updates {updates}"

    def load_weights(self, model: nn.Module, which: Kept) -> Manifest:
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
        return [manifest.rank for manifest in _validated(self.newest(warn=False)) if manifest.rank is not None]

    def drop(self, keep_last: int, keep_best: int) -> None:
        """Deletes all but the newest and the best, and what an interrupted writing left."""
        newest = self.newest(warn=False)
        kept = [*newest[:keep_last], *_validated(newest)[:keep_best]]
        files = {self._path(one.update) for one in kept} | {self._file(one, part) for one in kept for part in PARTS}
        self._delete(lambda path: path not in files)

    def drop_after(self, update: int) -> None:
        """Deletes what is newer than this update: damaged, for a training goes on from the newest that is whole."""
        self._delete(lambda path: update_of(path) > update)

    def _usable(self, look: Callable[[], list[Manifest]]) -> Iterator[tuple[Manifest, dict[str, Tensor]]]:
        """Of what `look` gives, in its order, all with weights that can be read; of the others, a warning."""
        tried = set[Path]()
        while untried := [one for one in look() if self._file(one, "weights") not in tried]:
            for manifest in untried:
                # Look again after all: a training at work here has newer ones when it drops these.
                tried.add(self._file(manifest, "weights"))
                if (parts := self._whole(manifest, ["weights"])) is not None:
                    yield manifest, parts["weights"]

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
            path = self.folder / part_name(update, part, again)
            write_atomically(path, lambda file, tensors=tensors: save_file(tensors, file))  # type: ignore[misc]
            files[part] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        write_json(self._path(update), Manifest(update, again, rank, scores, state, files).to_dict())

    def _manifest(self, path: Path) -> Manifest:
        """CheckpointError where a bit of it is not as it was written, or a part isn't there in full size."""
        manifest = Manifest.read(path)
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
        return self.folder / manifest.file(part)


def _validated(manifests: Iterable[Manifest]) -> list[Manifest]:
    return sorted((one for one in manifests if one.rank is not None), key=attrgetter("order"))


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _brief(error: BaseException) -> str:
    """The first line of a message, which may quote what anybody has written."""
    line = next(iter(str(error).splitlines()), type(error).__name__)[:LONGEST_QUOTE]
    return line if line.isprintable() else repr(line)
