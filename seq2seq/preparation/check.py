"""prepare_data.py check: reads parallel text once and tells what may be wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seq2seq.data.lines import side_path
from seq2seq.data.text import read_blocks
from seq2seq.errors import CheckpointError, DataError
from seq2seq.outputs import check_outputs, write_results
from seq2seq.preparation.characters import Characters
from seq2seq.preparation.coverage import Coverage
from seq2seq.preparation.measures import Lengths, Ratios, histogram
from seq2seq.preparation.options import CheckConfig
from seq2seq.preparation.places import Numbering, Places
from seq2seq.preparation.repeats import Kinds, keys_of
from seq2seq.progress import Progress
from seq2seq.text.pair import TokenizerPair

SIDES = ("source", "target")


def check(config: CheckConfig) -> dict[str, Any]:
    """The report on all texts, as plain data; also written to config.output where that is set.

    Memory grows by 36 bytes a pair, for what occurs again; nothing else grows with the text.

    Raises:
        ConfigError: an output that can't be written, or is one of the files, before any is read.
        DataError: files that are missing, not UTF-8, of unequal length or without text.
        CheckpointError: no tokenizer where one is named.
    """
    files = _files(config)
    check_outputs({"output": config.output}, (str(path) for pairs in files.values() for pair in pairs for path in pair))
    tokenizers = _tokenizers(config)
    earlier: dict[str, _Text] = {}
    texts: dict[str, Any] = {}
    overlap: list[dict[str, Any]] = []
    for name, pairs in files.items():
        text = _Text(pairs, config, tokenizers)
        text.read(name, list(earlier.values()))
        texts[name] = text.report()
        overlap += [{"text": known, "in": name, **found.met()} for known, found in earlier.items()]
        if name != "train":
            text.kinds.close()
            earlier[name] = text
    report = {"languages": _languages(config), "ratio": config.ratio, "texts": texts, "overlap": overlap}
    if config.output is not None:
        write_results("output", config.output, report)
    return report


class _Text:
    """All that is counted in one text."""

    def __init__(self, files: list[tuple[Path, Path]], config: CheckConfig, tokenizers: TokenizerPair | None) -> None:
        self.config = config
        self.numbering = Numbering(files)
        most = config.examples
        self.blank = (Places(most), Places(most))
        self.copies = Places(most)
        self.words = (Lengths(), Lengths())
        self.letters = (Lengths(), Lengths())
        self.ratios = Ratios(most)
        self.kinds = Kinds()
        self.characters = (Characters(most), Characters(most))
        self.coverage = (
            None if tokenizers is None else (Coverage(tokenizers.source, most), Coverage(tokenizers.target, most))
        )

    def read(self, name: str, earlier: list[_Text]) -> None:
        """Goes through the files once, looking for the earlier texts in this one too."""
        with Progress(name, None, "pairs", every=10.0) as bar:
            for block in read_blocks(self.numbering.files):
                sources, targets = block.lines()
                first = self.numbering.begin(len(sources), block.line)
                keys = self._add_pairs(sources, targets, first)
                for side, lines in enumerate((sources, targets)):
                    self.characters[side].add(lines, first)
                    if self.coverage is not None:
                        self.coverage[side].add(lines, first)
                for text in earlier:
                    text.kinds.meet(keys)
                bar.update(len(sources))
                if bar.due:
                    bar.say(f"{name}: {bar.done:,} pairs read")
        if not self.ratios.counts:
            names = ", ".join(str(path) for pair in self.numbering.files for path in pair)
            raise DataError(f"{name}: no line has text on both sides in {names}")

    def _add_pairs(self, sources: list[str], targets: list[str], first: int) -> list[list[int]]:
        """Lengths, copies and repeats; gives the hashes of pairs, sources and targets."""
        columns: list[list[int]] = [[], [], []]
        for pair, lines in enumerate(zip(sources, targets, strict=True), start=first):
            words = [len(line.split()) for line in lines]
            for side in (0, 1):
                if words[side]:
                    self.words[side].add(words[side], pair)
                    self.letters[side].add(len(lines[side]), pair)
                else:
                    self.blank[side].add(pair)
            if not all(words):
                continue
            source, target = lines
            self.ratios.add(len(source), len(target), pair)
            if source.strip() == target.strip():
                self.copies.add(pair)
            keys = keys_of(source, target)
            self.kinds.add(pair, keys)
            for column, key in zip(columns, keys, strict=True):
                column.append(key)
        return columns

    def met(self) -> dict[str, Any]:
        """What of this text the later one has."""
        found = zip(Kinds.NAMES, Kinds.SIDES, self.kinds.met(self.config.examples), strict=True)
        return {
            "of": self.numbering.pairs,
            **{name: self.numbering.report(places, side) for name, side, places in found},
        }

    def report(self) -> dict[str, Any]:
        numbering, most = self.numbering, self.config.examples
        repeated = zip(Kinds.NAMES, Kinds.SIDES, self.kinds.repeats, strict=True)
        measured = self.words if self.coverage is None else (self.coverage[0].lengths, self.coverage[1].lengths)
        return {
            "files": [[str(path) for path in pair] for pair in numbering.files],
            "pairs": numbering.pairs,
            "blank": self._sides(self.blank),
            "copies": numbering.report(self.copies, 0),
            "repeated": {name: numbering.report(kind.found(most), side) for name, side, kind in repeated},
            "ratio": self.ratios.report(numbering, self.config.ratio),
            "words": {name: self.words[side].report(numbering, side) for side, name in enumerate(SIDES)},
            "characters": {name: self.letters[side].report(numbering, side) for side, name in enumerate(SIDES)},
            "unit": "words" if self.coverage is None else "pieces",
            "histogram": histogram((measured[0].counts, measured[1].counts)),
            "scripts": {name: self.characters[side].report(numbering, side) for side, name in enumerate(SIDES)},
            "tokenizer": None
            if self.coverage is None
            else {name: self.coverage[side].report(numbering, side) for side, name in enumerate(SIDES)},
        }

    def _sides(self, places: tuple[Places, Places]) -> dict[str, Any]:
        return {name: self.numbering.report(places[side], side) for side, name in enumerate(SIDES)}


def _files(config: CheckConfig) -> dict[str, list[tuple[Path, Path]]]:
    """Source and target files of each text; DataError before any is read, where one of a prefix is not there."""
    if config.source is not None and config.target is not None:
        return {"text": [(Path(config.source), Path(config.target))]}
    source, target = config.data.source, config.data.target
    return {
        name: [(side_path(prefix, source), side_path(prefix, target)) for prefix in prefixes]
        for name, prefixes in config.data.prefixes().items()
    }


def _languages(config: CheckConfig) -> list[str]:
    return list(SIDES) if config.source is not None else [config.data.source, config.data.target]


def _tokenizers(config: CheckConfig) -> TokenizerPair | None:
    if config.tokenizer is None:
        return None
    path = Path(config.tokenizer)
    if not path.exists():
        raise CheckpointError(f"tokenizer={path}: no such file or folder; name a run's folder or a SentencePiece model")
    return TokenizerPair.from_path(path, shared=False)
