"""Layers whose weights are kept in 4 or 8 bits."""

from torch import Tensor, nn


def is_quantised(layer: nn.Module) -> bool:
    """Whether the layer keeps its weight in 4 or 8 bits."""
    return type(layer).__module__.startswith("bitsandbytes.")


def dequantised(layer: nn.Module) -> Tensor:
    """W (m, n)."""
    raise NotImplementedError


def stored(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """Raw tensors."""
    raise NotImplementedError
