"""What the options of all groups are made with."""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Literal, TypeVar

Auto = Literal["auto"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Place = Literal["before_rnn", "after_rnn", "none"]
Positions = Literal["sinusoidal", "learned"]
Item = TypeVar("Item")

# Beyond what anyone trains, and within what can be refused before anything is allocated: a config may be a stranger's.
LARGEST_SIZE = 65_536  # units of a layer
MOST_LAYERS = 256
MOST_HEADS = 256
LONGEST = 1_000_000  # pieces of a sentence


def number(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A field whose numbers lie between `low` and `high`, both included."""
    return field(default=default, metadata={"low": low, "high": high})


def numbers(default: Any, low: float | None, high: float | None, most: int, least: int = 0) -> Any:
    """A field that may be a list of `least` to `most` numbers, each between `low` and `high`, all included."""
    metadata = {"low": low, "high": high, "items": (least, most)}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def listed(value: Item | list[Item] | None) -> list[Item]:
    """One or several, or none, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def lengths_faults(lengths: list[int]) -> list[str]:
    """Source words at which groups of sentences begin; the first group, of the shortest, goes without saying."""
    if lengths == sorted(set(lengths)) and min(lengths, default=2) >= 2:
        return []
    return [f"lengths={lengths} must be rising numbers of words, the first at least 2, such as [8,11]"]


def resolve(asked: int | Auto, default: int) -> int:
    """A size that may be `auto`."""
    return default if isinstance(asked, str) else asked


def available_cores() -> int:
    """What `auto` comes to for threads and processes: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def residual_faults(group: str, options: Any) -> list[str]:
    """Residual connections go around layers above the first."""
    if not options.residual or options.num_layers > 1:
        return []
    return [f"{group}.residual=true needs layers above the first; set {group}.num_layers=2"]
