"""What compare.py gives: figures as plain data, and the tables made of them as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from seq2seq.files import write_atomically, write_json
from seq2seq.outputs import make_folder
from seq2seq.tables import aligned, markdown

Row = Mapping[str, Any]
WIDTH = 120  # characters of a line


class Column(NamedTuple):
    """A column's title, and what stands in it for a row."""

    title: str
    cell: Callable[[Row], str]


class Table(NamedTuple):
    """Rows, the columns that show them, and what is to be known to read these."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str]
    left: int = 1  # columns flush left

    def cells(self) -> list[list[str]]:
        """The head and the lines, without those columns behind the first in which nothing stands."""
        first, *others = ([column.title, *map(column.cell, self.rows)] for column in self.columns)
        return [list(line) for line in zip(first, *(column for column in others if any(column[1:])), strict=True)]


class Comparison(NamedTuple):
    """Figures, and their tables."""

    results: dict[str, Any]
    tables: Sequence[Table]

    def text(self) -> str:
        """For a terminal."""
        notes = [
            chain.from_iterable(wrap(note, WIDTH, break_on_hyphens=False) for note in table.notes)
            for table in self.tables
        ]
        blocks = [
            aligned(table.cells(), table.left, WIDTH) + "\n" + "".join(f"{line}\n" for line in lines)
            for table, lines in zip(self.tables, notes, strict=True)
        ]
        return "\n".join(blocks)

    def markdown(self) -> str:
        blocks = [
            markdown(table.cells(), table.left) + "".join(f"\n{note}\n" for note in table.notes)
            for table in self.tables
        ]
        return "\n".join(blocks)

    def write(self, folder: Path) -> None:
        """table.md and table.json."""
        make_folder("folder", folder)
        write_json(folder / "table.json", self.results)
        text = self.markdown()
        write_atomically(folder / "table.md", lambda file: file.write_text(text, encoding="utf-8"))


def number(title: str, key: str, form: str, unit: float = 1) -> Column:
    """A column of numbers; `unit` is what one of it is in theirs: 0.01 shows a share as percent."""
    return Column(title, lambda row: "" if row.get(key) is None else format(row[key] / unit, form))


def score(title: str, key: str, spread: str) -> Column:
    """A score and what is around it, `34.1 ± 0.9`; `spread` is the end of that number's key."""

    def cell(row: Row) -> str:
        around = row.get(f"{key}_{spread}")
        return f"{row[key]:.1f}" if around is None else f"{row[key]:.1f} ± {around:.1f}"

    return Column(title, cell)


def significance(key: str) -> Column:
    """`p = 0.012`, behind the score whose it is; without a title."""

    def cell(row: Row) -> str:
        p = row.get(f"{key}_p")
        return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"

    return Column("", cell)


def by_length(rows: Iterable[Row]) -> list[Column]:
    """BLEU of each group of lengths that the rows have."""
    groups = dict.fromkeys(group for row in rows for group in row["bleu_by_length"])
    return [_of_length(group) for group in groups]


def machines(rows: Iterable[Row]) -> str:
    """On which the rows were trained, with precision and threads."""
    return "; ".join(sorted({str(row["device"]) for row in rows if row.get("device")}))


def _of_length(group: str) -> Column:
    return Column(group, lambda row: _one_digit(row["bleu_by_length"].get(group)))


def _one_digit(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
