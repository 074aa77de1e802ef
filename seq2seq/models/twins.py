"""Models that compute the same in another way, from the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar, cast

from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
Linear = TypeVar("Linear", bound=nn.Linear)

Replacement = Callable[[nn.Module, str, nn.Module], nn.Module | None]  # owner, name and part, to another part or none


def rebuilt(module: Module, replacement: Replacement) -> Module:
    """A copy of `module` with other parts, at any depth, where `replacement` gives them; all else is shared."""
    twin = copied(module)
    for name, part in module.named_children():
        other = replacement(module, name, part)
        twin._modules[name] = rebuilt(part, replacement) if other is None else other
    return twin


def copied(module: Module) -> Module:
    """Another module of the same parts, which may be replaced in it."""
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    return twin


def linear_of(kind: type[Linear], weight: Tensor, bias: Tensor | None) -> Linear:
    """A layer of this kind with these parameters."""
    layer = kind(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = cast(nn.Parameter, weight), cast("nn.Parameter", bias)
    return layer
