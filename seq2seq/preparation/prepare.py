"""prepare_data.py: a public corpus from its recipe, as files for train.py, with a manifest of what they are made of."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from seq2seq.errors import CheckpointError, DataError
from seq2seq.files import read_json, sha256, write_json
from seq2seq.preparation.archive import take_out
from seq2seq.preparation.moses import moses_tokenizer
from seq2seq.preparation.options import Part, PrepareConfig, RecipeConfig
from seq2seq.preparation.sources import Found, obtain
from seq2seq.preparation.steps import Cleaning, Step, pair_up
from seq2seq.progress import Progress

LOGGER = logging.getLogger("seq2seq")


def prepare_corpus(config: PrepareConfig) -> dict[str, Any]:
    """Does what the recipe says, unless it is done already; gives the manifest that it leaves beside the files.

    Raises:
        ConfigError: a library is missing that the recipe needs.
        DataError: files that can't be had, are others than the recipe's, or can't be written.
    """
    recipe, folder = config.recipe, config.place
    before = _manifest(folder)
    if before.get("recipe") == asdict(recipe) and _untouched(folder, before):
        LOGGER.info("%s has it all already", folder)
        return before
    work = _Work(recipe, folder)
    seen = {name: str(file["sha256"]) for name, file in before.get("files", {}).items()}
    files = obtain(config, seen)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sets = work.make(files)
        manifest = {
            "recipe": asdict(recipe),
            "folder": str(folder),
            "files": {name: {"from": file.origin, "sha256": file.sha256} for name, file in files.items()},
            "sets": sets,
            "next": _next(recipe, folder),
        }
        write_json(folder / "manifest.json", manifest)
    except OSError as error:
        raise DataError(f"{error.filename or folder} can't be written: {error.strerror}") from error
    return manifest


def show(manifest: Mapping[str, Any]) -> str:
    """What there is now, and what to do with it."""
    recipe, folder = manifest["recipe"], Path(manifest["folder"])
    lines = [recipe["about"], f"licence: {recipe['licence']}", ""]
    for name, made in manifest["sets"].items():
        dropped = f", {made['dropped']:,} dropped" if made["dropped"] else ""
        held_out = f", {made['held_out']:,} held out" if made["held_out"] else ""
        lines.append(
            f"{folder / name}.{recipe['source']}, .{recipe['target']}: {made['pairs']:,} pairs{dropped}{held_out}"
        )
    return "\n".join([*lines, "", manifest["next"], ""])


class _Work:
    """The sets of a recipe, one after the other; the libraries that it needs are there before anything is fetched."""

    def __init__(self, recipe: RecipeConfig, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.unpacked = folder / "unpacked"  # only while it is read
        tokenizers = [moses_tokenizer(language) if recipe.moses else str for language in recipe.languages]
        self.tokenizers: tuple[Step, Step] = (tokenizers[0], tokenizers[1])
        self.cleaning = Cleaning(recipe, self.tokenizers)

    def make(self, files: Mapping[str, Found]) -> dict[str, Any]:
        """What the manifest says of each set."""
        sets: dict[str, Any] = {}
        try:
            places = self._unpacked(files)
            for name in self.recipe.sets:
                sets.update(self._make_set(name, places))
        finally:
            shutil.rmtree(self.unpacked, ignore_errors=True)
        for name, lines in self.recipe.lines.items():
            if name in sets and sets[name]["pairs"] != lines:
                LOGGER.warning("%s has %s pairs, where %s are expected", name, f"{sets[name]['pairs']:,}", f"{lines:,}")
        return sets

    def _make_set(self, name: str, places: Mapping[Part, Path]) -> dict[str, Any]:
        """One set, or two where pairs of the training set are held out."""
        recipe = self.recipe
        every = recipe.hold_out if name == "train" else None
        read = kept = 0
        with ExitStack() as stack:
            main = stack.enter_context(_PairFiles(self.folder, name, recipe))
            held_out = stack.enter_context(_PairFiles(self.folder, recipe.valid, recipe)) if every else None
            bar = stack.enter_context(Progress(name, None, "pairs", every=10.0))
            for source, target in self._pairs(name, places):
                read += 1
                bar.update(1)
                if bar.due:
                    bar.say(f"{name}: {read:,} pairs read")
                if name == "train" and not self.cleaning.keeps(source, target):
                    continue
                kept += 1
                out = held_out if held_out is not None and every and kept % every == 0 else main
                out.write(self._written(source, 0), self._written(target, 1))
        facts = {name: {**main.facts, "dropped": read - kept, "held_out": kept - main.pairs}}
        return facts if held_out is None else {**facts, recipe.valid: {**held_out.facts, "dropped": 0, "held_out": 0}}

    def _pairs(self, name: str, places: Mapping[Part, Path]) -> Iterator[tuple[str, str]]:
        markup = self.recipe.markup.get(name, "lines")
        for source, target in self.recipe.parts(name):
            yield from pair_up((places[source], places[target]), markup)

    def _written(self, line: str, side: int) -> str:
        text = self.tokenizers[side](line) if self.recipe.written == "tokens" else line
        return text.lower() if self.recipe.lowercase else text

    def _unpacked(self, files: Mapping[str, Found]) -> dict[Part, Path]:
        """Where each part's text is, taken out of the archives where it is in one."""
        parts = [part for name in self.recipe.sets for pair in self.recipe.parts(name) for part in pair]
        places = {part: files[part.file].path for part in parts if not part.member}
        for name in {part.file: None for part in parts if part.member}:
            members = {part.member: part for part in parts if part.file == name}
            found = {member: self.unpacked / name / member.replace("/", "_") for member in members}
            LOGGER.info("unpacking %s", files[name].path)
            take_out(files[name].path, found)
            places.update((members[member], place) for member, place in found.items())
        return places


class _PairFiles:
    """PREFIX.SOURCE and PREFIX.TARGET, there when both are whole; use as a context manager."""

    def __init__(self, folder: Path, name: str, recipe: RecipeConfig) -> None:
        self.pairs = 0
        self.paths = [folder / f"{name}.{language}" for language in recipe.languages]
        self._partial = [path.with_name(f".{path.name}.partial") for path in self.paths]
        self._files: list[TextIO] = []
        self._hashes = [hashlib.sha256(), hashlib.sha256()]

    @property
    def facts(self) -> dict[str, Any]:
        hashes = {path.name: found.hexdigest() for path, found in zip(self.paths, self._hashes, strict=True)}
        return {"pairs": self.pairs, "sha256": hashes}

    def write(self, *lines: str) -> None:
        for line, file, found in zip(lines, self._files, self._hashes, strict=True):
            file.write(f"{line}\n")
            found.update(f"{line}\n".encode())
        self.pairs += 1

    def __enter__(self) -> _PairFiles:
        self._files = [path.open("w", encoding="utf-8", newline="\n") for path in self._partial]
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for file in self._files:
            file.close()
        for partial, path in zip(self._partial, self.paths, strict=True):
            if kind is None:
                os.replace(partial, path)
            else:
                partial.unlink(missing_ok=True)


def _manifest(folder: Path) -> dict[str, Any]:
    """What an earlier run has left, if anything."""
    path = folder / "manifest.json"
    try:
        found = read_json(path) if path.exists() else {}
    except CheckpointError as error:
        raise DataError(f"{error}; remove it to start anew") from error
    if found and "recipe" not in found:
        raise DataError(f"{path} is none of prepare_data.py's; set folder= to another place")
    return found


def _untouched(folder: Path, manifest: Mapping[str, Any]) -> bool:
    hashes = {name: digest for made in manifest["sets"].values() for name, digest in made["sha256"].items()}
    return all((folder / name).is_file() and sha256(folder / name) == digest for name, digest in hashes.items())


def _next(recipe: RecipeConfig, folder: Path) -> str:
    """The command that trains on it."""
    made = [*recipe.sets, *([recipe.valid] if recipe.hold_out else [])]
    tests = [name for name in made if name not in ("train", recipe.valid)]
    test = (
        str(folder / tests[0]) if len(tests) == 1 else f"{{{', '.join(f'{name}: {folder / name}' for name in tests)}}}"
    )
    words = [
        *recipe.options.split(),
        f"data.source={recipe.source}",
        f"data.target={recipe.target}",
        f"data.train={folder / 'train'}",
        *([f"data.valid={folder / recipe.valid}"] if recipe.valid in made else []),
        *([f"data.test={test}"] if tests else []),
    ]
    return f"python scripts/train.py {' '.join(shlex.quote(word) for word in words)}"
