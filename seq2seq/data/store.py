"""The training pairs as files: encoded once, appended block by block, and mapped when they are whole."""

from __future__ import annotations

import os
import shutil
from array import array
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.encode import PREPARING, EncodedPairs, Encoder
from seq2seq.data.lengths import LengthLimit
from seq2seq.data.text import TrainingText
from seq2seq.errors import CheckpointError, DataError
from seq2seq.files import SPARE, mebibytes, read_json, write_json
from seq2seq.processes import in_order
from seq2seq.progress import Progress


@dataclass(frozen=True)
class StoredPairs:
    """What manifest.json says of the arrays beside it: all that would need a pass over them."""

    pairs: int
    too_long: int  # pairs dropped
    source_tokens: int
    target_tokens: int
    slope: float  # of the length limit
    offset: float

    @classmethod
    def read(cls, folder: Path) -> StoredPairs:
        """CheckpointError where it isn't there or isn't such a manifest."""
        plain = read_json(folder / "manifest.json").get("stored")
        if not isinstance(plain, dict) or {*plain} != {field.name for field in fields(cls)}:
            raise CheckpointError(f"{folder / 'manifest.json'} isn't one of encoded pairs")
        if any(type(number) not in (int, float) or number < 0 for number in plain.values()):
            raise CheckpointError(f"{folder / 'manifest.json'} has impossible numbers")
        return cls(**plain)

    @classmethod
    def write(cls, folder: Path, text: TrainingText, encoder: Encoder, processes: int, facts: dict[str, Any]) -> None:
        """Encodes the text into `folder`; the manifest, with `facts` for people, comes last.

        DataError where no pair is short enough, or the text changes meanwhile.
        """
        counts, too_long = Counter[tuple[int, int]](), 0
        with CorpusFiles(folder) as files, Progress("encode", len(text), "pairs", every=10.0) as bar:
            for encoded in in_order(encoder, text.blocks(), processes, PREPARING):
                files.append(encoded)
                counts.update(encoded.counts())
                too_long += encoded.too_long
                first, done = bar.done == 0, len(encoded.source_lengths) + encoded.too_long
                bar.update(done)
                if first and done:
                    _check_space(folder, files.size * len(text) // done)
                if bar.due:
                    bar.say(f"encoded {bar.done:,} of {len(text):,} training pairs")
        text.check_unchanged()
        pairs = sum(counts.values())
        if not pairs:
            raise DataError(
                f"train: none of the {len(text)} pairs is within data.max_length={encoder.max_length} pieces on both "
                "sides; raise data.max_length"
            )
        source_tokens = sum(source * count for (source, _), count in counts.items())
        target_tokens = sum(target * count for (_, target), count in counts.items())
        limit = LengthLimit.fit(counts)
        stored = cls(pairs, too_long, source_tokens, target_tokens, limit.slope, limit.offset)
        write_json(folder / "manifest.json", {"stored": asdict(stored), "made_of": facts})

    @property
    def limit(self) -> LengthLimit:
        return LengthLimit(self.slope, self.offset)

    @property
    def source_per_target(self) -> float:
        """Source pieces a target piece, EOS counted."""
        return (self.source_tokens + self.pairs) / (self.target_tokens + self.pairs)

    def map(self, folder: Path) -> EncodedCorpus:
        return EncodedCorpus.map(folder, self.pairs, self.source_tokens, self.target_tokens)


class CorpusFiles:
    """Four files that grow: of each side the ids (int32), and where each pair starts (int64), the end included.

    Use as a context manager; at its end they are on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.size = 0  # bytes written
        self._ends = [0, 0]
        with ExitStack() as opened:
            self._ids = [opened.enter_context((folder / f"{side}.ids").open("wb")) for side in ("source", "target")]
            self._offsets = [
                opened.enter_context((folder / f"{side}.offsets").open("wb")) for side in ("source", "target")
            ]
            self._files = opened.pop_all()
        for file in self._offsets:
            self.size += file.write(array("q", [0]))

    def append(self, pairs: EncodedPairs) -> None:
        sides = ((pairs.source, pairs.source_lengths), (pairs.target, pairs.target_lengths))
        for side, (ids, lengths) in enumerate(sides):
            ends = array("q", accumulate(lengths, initial=self._ends[side]))
            self._ends[side] = ends[-1]
            self.size += self._ids[side].write(ids)
            self.size += self._offsets[side].write(ends[1:])

    def __enter__(self) -> CorpusFiles:
        return self

    def __exit__(self, *_: object) -> None:
        with self._files:
            for file in (*self._ids, *self._offsets):
                file.flush()
                os.fsync(file.fileno())


def _check_space(folder: Path, needed: int) -> None:
    """DataError where all pairs won't fit on the disk, to judge by the first."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise DataError(
            f"data.cache={folder.parent}: the encoded training pairs need {mebibytes(needed + SPARE)} of disk, but "
            f"{mebibytes(free)} are free; make room, or set data.cache=FOLDER to another disk"
        )
