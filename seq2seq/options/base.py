"""What the options of all groups are made with."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

Auto = Literal["auto"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Place = Literal["before_rnn", "after_rnn", "none"]
Positions = Literal["sinusoidal", "learned"]


def number(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A field whose numbers lie between `low` and `high`, both included."""
    return field(default=default, metadata={"low": low, "high": high})


def resolve(asked: int | Auto, default: int) -> int:
    """A size that may be `auto`."""
    return default if isinstance(asked, str) else asked


def head_faults(group: str, options: Any, hidden_size: int) -> list[str]:
    """Whether the heads of a Transformer share its hidden size out evenly, and rotary positions find pairs in each."""
    faults = []
    share, rest = divmod(hidden_size, options.num_heads)
    if rest:
        faults.append(
            f"{group}.hidden_size={hidden_size} is no multiple of {group}.num_heads={options.num_heads}; "
            f"set {group}.hidden_size={(share + 1) * options.num_heads}"
        )
    elif options.positions == "rotary" and share % 2:
        faults.append(
            f"{group}.positions=rotary turns pairs of units, but {group}.hidden_size={hidden_size} over "
            f"{group}.num_heads={options.num_heads} leaves {share} to a head; "
            f"set {group}.hidden_size={(share + 1) * options.num_heads}"
        )
    return faults


def residual_faults(group: str, options: Any) -> list[str]:
    """Residual connections go around layers above the first."""
    if not options.residual or options.num_layers > 1:
        return []
    return [f"{group}.residual=true needs layers above the first; set {group}.num_layers=2"]
