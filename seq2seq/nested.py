"""Nested state, such as an optimizer's, as plain data for JSON and the tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seq2seq.errors import CheckpointError

TENSOR = "$tensor"  # in the plain data, the key of a tensor's name


def apart(state: Any, place: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Mappings and lists with tensors in them: plain data, and the tensors by their places, as RFC 6901 writes them."""
    if isinstance(state, Tensor):
        return {TENSOR: place}, {place: state}
    items = state.items() if isinstance(state, Mapping) else enumerate(state) if isinstance(state, list) else None
    if items is None:
        return state, {}
    parts = {str(key): apart(value, f"{place}/{_escaped(str(key))}") for key, value in items}
    tensors = {name: tensor for _, found in parts.values() for name, tensor in found.items()}
    plain = {key: value for key, (value, _) in parts.items()}
    return (list(plain.values()) if isinstance(state, list) else plain), tensors


def together(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `apart` was given, with tensors of its own; all keys are text.

    Raises:
        CheckpointError: a tensor is not there.
    """
    if isinstance(plain, list):
        return [together(value, tensors) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if TENSOR in plain:
        name = plain[TENSOR]
        if not isinstance(name, str) or name not in tensors:
            raise CheckpointError("a tensor of the training state is not there")
        return tensors[name].clone()  # for these may be views of a file
    return {key: together(value, tensors) for key, value in plain.items()}


def _escaped(key: str) -> str:
    """So that no two places have one name."""
    return key.replace("~", "~0").replace("/", "~1")
