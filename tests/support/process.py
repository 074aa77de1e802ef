"""What a test may change in its process, put back for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_settings_kept() -> Iterator[None]:
    """Threads, the precision of products and determinism, which resolving a runtime sets."""
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(products)
        torch.use_deterministic_algorithms(deterministic)
