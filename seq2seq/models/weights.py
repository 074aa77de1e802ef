"""A model's weights as named tensors: put in, looked at, summed up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from seq2seq.errors import CheckpointError

LONGEST = 100  # characters of a name or a shape in a message: they may be anybody's


def distinct(model: nn.Module) -> dict[str, Tensor]:
    """The model's state by name, with tied weights once, under their first name."""
    names: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        names.setdefault(id(tensor), name)
    return {name: state[name] for name in names.values()}


def fit(model: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Puts `weights` into `model` after `check_fit`."""
    check_fit(model, weights, origin)
    with torch.no_grad():
        for name, tensor in distinct(model).items():
            tensor.copy_(weights[name])


def check_fit(model: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Whether names, shapes and types are the model's, which may be on the device "meta", and all numbers finite.

    Raises:
        CheckpointError: with the first difference.
    """
    own = distinct(model)
    for name in sorted(own.keys() | weights.keys()):
        if name not in weights or name not in own:
            holder = "the config's model" if name in own else "the checkpoint"
            raise CheckpointError(f"{origin} doesn't fit the model of its config: only {holder} has {_shown(name)}")
        mine, theirs = _kind(own[name]), _kind(weights[name])
        if mine != theirs:
            raise CheckpointError(f"{origin} doesn't fit the model of its config: {name} is {theirs}, not {mine}")
        if not weights[name].isfinite().all():
            raise CheckpointError(f"{origin}: {name} holds numbers that aren't finite; a training that failed left it")


def mean(models: Iterable[Mapping[str, Tensor]], origin: str) -> dict[str, Tensor]:
    """The weights of several models of one kind averaged, number by number; summed up in float64, one after the other.

    What isn't a floating-point number, such as a counter, is the first one's.

    Raises:
        CheckpointError: names, shapes or types differ.
    """
    first: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    count = 0
    for count, weights in enumerate(models, start=1):
        if count == 1:
            first = dict(weights)
            floating = {name: tensor for name, tensor in first.items() if tensor.is_floating_point()}
            sums = {name: tensor.to(torch.float64, copy=True) for name, tensor in floating.items()}
            continue
        if _kinds(weights) != _kinds(first):
            raise CheckpointError(f"{origin} holds checkpoints of different models, which have no mean")
        for name, total in sums.items():
            total += weights[name]
    return first | {name: (total / count).to(first[name].dtype) for name, total in sums.items()}


def finite(model: nn.Module) -> bool:
    """Whether all weights are numbers that can be gone on from."""
    return all(bool(tensor.isfinite().all()) for tensor in distinct(model).values())


def parameters(model: nn.Module) -> int:
    """Parameters of the model, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of the weights."""
    total = hashlib.sha256()
    for name, tensor in sorted(distinct(model).items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _shown(name: str) -> str:
    """With nothing in it that a terminal obeys."""
    return name[:LONGEST] if name[:LONGEST].isprintable() else repr(name[:LONGEST])


def _kinds(weights: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: _kind(tensor) for name, tensor in weights.items()}


def _kind(tensor: Tensor) -> str:
    shape = str(tuple(tensor.shape))
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{shape} {dtype}" if len(shape) <= LONGEST else f"of {tensor.dim():,} dimensions and {dtype}"
