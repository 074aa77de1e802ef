"""What the options that make a search faster give and cost: speed, BLEU and changed lines."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import product
from pathlib import Path

from seq2seq.benchmark.bench import Bench, Column, Table
from seq2seq.benchmark.translating import TRANSLATED, Kind, compared
from seq2seq.evaluation.spreading import check_spread
from seq2seq.runs import RunFolder

BEAM = 5


def search(bench: Bench) -> Table:
    """The run's test set at beam 5, with each beam threshold, each shortlist, and each pair of them."""
    measure, shortlists = bench.measure, _shortlists(bench)
    check_spread(measure.workers, bench.runtime)
    # A shortlist's table is read where one is asked for at first.
    loaded = bench.material.translator(bench.config, measure.translate_precision, {"shortlist": shortlists[-1]})
    rows = []
    with ExitStack() as stack:
        spread = {workers: stack.enter_context(loaded.spread(workers)) for workers in sorted({0, measure.workers})}
        for beam in bench.options.beams([BEAM]):
            translators = {
                Kind(f"beam {beam}{_named(changes)}", bench.translate_precision).by(workers): translator.with_search(
                    {"beam_size": beam, **changes}
                )
                for changes in _changes(shortlists, [0.0, *measure.thresholds])
                for workers, translator in spread.items()
            }
            rows += compared(bench, f"beam {beam}", translators)
    lacking = [] if shortlists[-1] or not measure.shortlists else ["no shortlists: the run has no lexicon"]
    return Table([Column("name", "search"), Column("precision", "precision"), *TRANSLATED], rows, lacking)


def _shortlists(bench: Bench) -> list[int]:
    """None, and those to measure; they need the lexicon that a training leaves at its end."""
    has_lexicon = RunFolder.open(Path(str(bench.config.run))).lexicon.is_file()
    return [0, *(bench.measure.shortlists if has_lexicon else [])]


def _changes(shortlists: list[int], thresholds: list[float]) -> list[dict[str, float]]:
    """Of the search, in all combinations."""
    pairs = product(shortlists, thresholds)
    return [{"shortlist": shortlist, "beam_threshold": threshold} for shortlist, threshold in pairs]


def _named(changes: dict[str, float]) -> str:
    return "".join(f", {name} {value:g}" for name, value in changes.items() if value)
