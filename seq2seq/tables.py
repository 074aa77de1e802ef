"""Tables of text: aligned for a terminal, and in Markdown. The first line of cells is the head."""

from __future__ import annotations

import math
from collections.abc import Sequence

Cells = Sequence[Sequence[str]]


def aligned(cells: Cells, left: int = 1, width: float = math.inf) -> str:
    """The first `left` columns flush left, the others flush right.

    Where lines would be longer than `width`, further columns stand in a block below, behind the first one again. A
    column without a title belongs to the one before it.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    blocks = []
    for block in _blocks(cells[0], widths, width):
        for line in cells:
            padded = (line[i].ljust(widths[i]) if i < left else line[i].rjust(widths[i]) for i in block)
            blocks.append("  ".join(padded).rstrip() + "\n")
        blocks.append("\n")
    return "".join(blocks[:-1])


def markdown(cells: Cells, left: int = 1) -> str:
    """The same in Markdown."""
    head, *lines = ([cell.replace("|", r"\|") for cell in line] for line in cells)
    rule = ["---" if i < left else "---:" for i in range(len(head))]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *lines])


def _blocks(head: Sequence[str], widths: Sequence[int], width: float) -> list[list[int]]:
    """The columns of each block: all in one, where they have room."""
    starts = [i for i in range(1, len(head)) if head[i]]
    blocks, used = [[0]], widths[0]
    for start, end in zip(starts, [*starts[1:], len(head)], strict=True):
        columns = range(start, end)
        needed = sum(2 + widths[i] for i in columns)
        if used + needed > width and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1] += columns
        used += needed
    return blocks
