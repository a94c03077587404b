"""Images to uint8 arrays at the backbone's input size, so that decoding and resizing happen once."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Others are not tried: Pillow reads some by programs outside it.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
DECODED = 100 * 10**6
"""Bytes of images that `check` decodes, which takes a few seconds; of the others it reads the heads."""
LONGEST = 100  # of an image's edges to each other: resized by the shorter one, it would fill the memory


def encode(images: Sequence[Any], facts: dict[str, Any], out: np.ndarray, *, names: Sequence[str] = ()) -> None:
    """Fill `out` with the images as the backbone's own preprocessing sizes and crops them.

    Parameters
    ----------
    images : sequence of uint8 arrays of shape (H, W) or (H, W, 3), or of encoded files (bytes, or paths)
    facts : dict
        size (height, width), channels (1 or 3), resize (length of the shorter edge, or null: straight to `size`),
        interpolation.
    out : uint8 array of shape (examples, height, width, channels)
        Typically a memory map.
    names : sequence of str, optional
        What an error calls the images that are no paths; else by their place.

    Raises
    ------
    ValueError
        An image cannot be read, or has more than 8 bits a channel.
    """
    for row, image in enumerate(images):
        try:
            out[row] = _sized(_opened(image, facts["channels"]), facts)
        except (OSError, ValueError) as error:
            name = names[row] if names else f"{row} of {len(images)}"
            raise ValueError(_unreadable(image, name, error)) from None


def check(images: Sequence[Any], *, names: Sequence[str] = ()) -> None:
    """Open the images as `encode` does, and write nothing; ValueError as there, where a model's sizes play no part."""
    left = DECODED
    for row, image in enumerate(images):
        left -= image.stat().st_size if isinstance(image, Path) else len(image)
        try:
            if left < 0:
                _head(image).close()
            else:
                _opened(image, 1)
        except (OSError, ValueError) as error:
            name = names[row] if names else f"{row} of {len(images)}"
            raise ValueError(_unreadable(image, name, error)) from None


def at_size(facts: dict[str, Any], edge: int | None) -> dict[str, Any]:
    """Return a backbone's facts for square images of another edge, in pixels: the crop keeps its share; null: as is."""
    if edge is None:
        return facts
    resize = facts.get("resize")
    return facts | {"size": [edge] * 2, "resize": resize and round(resize * edge / min(facts["size"]))}


def shape(examples: int, facts: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the shape of the array that `encode` fills."""
    return (examples, *facts["size"], facts["channels"])


def grey(images: Sequence[Any]) -> np.ndarray:
    """Return images, as `encode` takes them, in grey: uint8 of shape (examples, height, width).

    ValueError where an image cannot be read, or they are of unlike sizes.
    """
    rows: list[np.ndarray] = []
    for row, image in enumerate(images):
        try:
            rows.append(np.asarray(_opened(image, 1), dtype=np.uint8))
        except (OSError, ValueError) as error:
            raise ValueError(_unreadable(image, f"{row} of {len(images)}", error)) from None
        if rows[row].shape != rows[0].shape:
            raise ValueError(
                f"image {row} of {len(images)} is {rows[row].shape[1]} x {rows[row].shape[0]} pixels, the first "
                f"{rows[0].shape[1]} x {rows[0].shape[0]}; pre-training takes images of one size"
            )
    return np.stack(rows)


def _opened(image: Any, channels: int) -> Any:
    """Open an image in grey or in colour, upright as viewers show it (EXIF), without its transparency.

    Of the images that a camera puts into one JPEG it is the first.
    """
    from PIL import ImageOps

    opened = _head(image.read_bytes() if isinstance(image, Path) else image)
    return ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")


def _head(image: Any) -> Any:
    """Open an image without decoding it; ValueError where its head says that it is none, or none that is taken."""
    from PIL import Image, UnidentifiedImageError

    try:
        opened: Image.Image
        if isinstance(image, bytes | Path):
            opened = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=FORMATS)
        else:
            opened = Image.fromarray(image)
    except UnidentifiedImageError:
        raise ValueError(f"it is of no known format; known are {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    if opened.mode.startswith(("I", "F")):  # Pillow would cut all above 255
        raise ValueError(f"it is of mode {opened.mode}; save it with 8 bits a channel")
    if (frames := getattr(opened, "n_frames", 1)) > 1 and opened.format != "MPO":
        raise ValueError(f"it is a sequence of {frames} images; save the one that is meant")
    return opened


def _unreadable(image: Any, name: str, error: Exception) -> str:
    name = str(image) if isinstance(image, Path) else name
    return f"image {name} cannot be read: {error}. Put another in its place, or take it out"


def _sized(image: Any, facts: dict[str, Any]) -> np.ndarray:
    from PIL import Image

    height, width = facts["size"]
    kind = Image.Resampling[facts["interpolation"].upper()]
    if facts["resize"] is None:
        image = image.resize((width, height), kind)
    else:
        if max(image.size) > LONGEST * min(image.size):
            raise ValueError(f"it is {image.width} x {image.height} pixels, more than {LONGEST} times as long as wide")
        scale = facts["resize"] / min(image.size)
        image = image.resize((max(width, int(image.width * scale)), max(height, int(image.height * scale))), kind)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, dtype=np.uint8).reshape(height, width, facts["channels"])
