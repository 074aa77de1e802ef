"""What compare.py does: it trains a table's rows, or compares runs that are finished."""

from __future__ import annotations

from collections.abc import Callable

from seq2seq.comparison.comparison import Comparison
from seq2seq.comparison.options import CompareConfig
from seq2seq.comparison.runs import compare_runs
from seq2seq.comparison.table import train_table
from seq2seq.config import Config


def compare(options: CompareConfig, compose: Callable[[str], Config]) -> Comparison:
    """The rows' or the runs' figures; `compose` makes the options of a row a config.

    Raises:
        Seq2SeqError: see `train_table` and `compare_runs`.
    """
    return train_table(options, compose) if options.run is None else compare_runs(options)
