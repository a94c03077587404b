"""Images to uint8 arrays at the backbone's input size, so that decoding and resizing happen once."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np


def encode(images: Sequence[Any], facts: dict[str, Any], out: np.ndarray) -> None:
    """Fill `out` with the images as the backbone's own preprocessing sizes and crops them.

    Parameters
    ----------
    images : sequence of uint8 arrays of shape (H, W) or (H, W, 3), or of encoded files (bytes)
    facts : dict
        size (height, width), channels (1 or 3), resize (length of the shorter edge, or null: straight to `size`),
        interpolation.
    out : uint8 array of shape (examples, height, width, channels)
        Typically a memory map.
    """
    for row, image in enumerate(images):
        try:
            out[row] = _sized(_opened(image, facts["channels"]), facts)
        except OSError as error:
            raise ValueError(f"image {row} of {len(images)} cannot be read: {error}") from None


def shape(examples: int, facts: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the shape of the array that `encode` fills."""
    return (examples, *facts["size"], facts["channels"])


def _opened(image: Any, channels: int) -> Any:
    from PIL import Image

    opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else Image.fromarray(image)
    return opened.convert("L" if channels == 1 else "RGB")


def _sized(image: Any, facts: dict[str, Any]) -> np.ndarray:
    from PIL import Image

    height, width = facts["size"]
    kind = Image.Resampling[facts["interpolation"].upper()]
    if facts["resize"] is None:
        image = image.resize((width, height), kind)
    else:
        scale = facts["resize"] / min(image.size)
        image = image.resize((max(width, int(image.width * scale)), max(height, int(image.height * scale))), kind)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, dtype=np.uint8).reshape(height, width, facts["channels"])
