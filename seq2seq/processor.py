"""What this machine's CPU can do: asked where torch knows, and else measured."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


@cache
def has_bf16() -> bool:
    """Whether oneDNN computes in bf16 on this CPU, as torch itself asks it.

    Elsewhere products are imitated, a hundred times as slow as in float32, and its LSTM fails under autocast.
    """
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def least_seconds(work: Callable[[], object]) -> float:
    """Of five calls after one that is left out: noise only ever adds."""
    work()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def product_error(product: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The largest error of `product`, of float32 (64, 512) and (256, 512), against their product in float64."""
    generator = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(64, 512, generator=generator), torch.randn(256, 512, generator=generator)
    return float((product(inputs, weight) - inputs.double() @ weight.double().t()).abs().max())
