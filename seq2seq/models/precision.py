"""The types that matrix products and sums are computed in."""

from __future__ import annotations

import torch
from torch import Tensor


def product_type(like: Tensor) -> torch.dtype:
    """Of matrix products: autocast's type where it is on, else the tensor's own."""
    device = like.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else like.dtype


def wide(dtype: torch.dtype) -> torch.dtype:
    """Of sums and states: float32 at least."""
    return torch.promote_types(dtype, torch.float32)
