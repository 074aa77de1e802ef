"""What the options that make a search faster give and cost: speed, BLEU and changed lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seq2seq.benchmark.bench import Bench, Column, Table
from seq2seq.benchmark.translating import TRANSLATED, Kind, compared
from seq2seq.evaluation.spreading import check_spread
from seq2seq.runs import RunFolder

BEAM = 5


def search(bench: Bench) -> Table:
    """The run's test set at beam 5, with each beam threshold, each shortlist, and each pair of them."""
    check_spread(bench.measure.workers, bench.runtime)
    rows = []
    for beam in bench.options.beams([BEAM]):
        translators = {
            Kind(f"beam {beam}{_named(changes)}", bench.translate_precision): bench.material.translator(
                bench.config, bench.measure.translate_precision, {"beam_size": beam, **changes}
            )
            for changes in _changes(bench)
        }
        rows += compared(bench, f"beam {beam}", translators)
    return Table([Column("name", "search"), Column("precision", "precision"), *TRANSLATED], rows)


def _changes(bench: Bench) -> Iterator[dict[str, Any]]:
    """Of the search as it is; a shortlist needs the lexicon that a training leaves at its end."""
    has_lexicon = RunFolder.open(Path(str(bench.config.run))).lexicon.is_file()
    for shortlist in [0, *(bench.measure.shortlists if has_lexicon else [])]:
        for threshold in [0.0, *bench.measure.thresholds]:
            yield {"shortlist": shortlist, "beam_threshold": threshold}


def _named(changes: dict[str, Any]) -> str:
    return "".join(f", {name} {value:g}" for name, value in changes.items() if value)
