"""An image that is not whole, or not one image of 8 bits, ends in one line that names it; else its colours are kept.

Damaged files are made of sound ones; those that Pillow cannot write are put together from their chunks.
"""

import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damages import DAMAGES
from own_data import CLASSES, encoded, noise, of_images, pictures, prepared
from PIL import Image

from frod.tasks import arrays

WHOLE = encoded(noise())
JPEG = encoded(noise((64, 64)), "JPEG")


def chunked(width, height, data=b""):
    """A PNG in grey of 8 bits with a head as given."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


FAULTS = {
    "no bytes": (b"", "it is of no known format; known are PNG, JPEG"),
    "text": (b"no image", "it is of no known format"),
    "a program": (encoded(noise(), "EPS"), "it is of no known format"),  # Pillow would hand it to Ghostscript
    "half a PNG": (WHOLE[: len(WHOLE) // 2], "image file is truncated"),
    "a PNG without its end": (WHOLE[:-60], "image file is truncated"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "image file is truncated"),
    "a byte of a PNG": (DAMAGES["one bit"](WHOLE), "broken"),
    "no size": (chunked(0, 0), "it is of no known format"),
    "no height": (chunked(5, 0), "it is of no known format"),
    "gigapixels": (chunked(60_000, 60_000), "3600000000 pixels"),
    "a line": (encoded(Image.new("L", (1, 4000))), "1 x 4000 pixels, more than 100 times as long as wide"),
    "16 bits": (encoded(Image.fromarray(np.full((8, 8), 300, np.uint16))), "mode I;16; save it with 8 bits a channel"),
    "an animation": (
        encoded(noise(), save_all=True, append_images=[noise().rotate(90)]),
        "a sequence of 2 images; save the one that is meant",
    ),
}


@pytest.mark.parametrize(("content", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_an_image_is_one_line(tmp_path, content, words):
    folder = pictures(tmp_path / "mine", content)
    with pytest.raises(ValueError, match=words) as caught:
        prepared(of_images(folder), tmp_path)
    said = str(caught.value)
    assert said.startswith(f"image {folder / 'bad' / 'odd.png'} cannot be read: ") and "\n" not in said
    assert said.endswith("Put another in its place, or take it out")
    assert not (tmp_path / "prepared").exists()


RED = (200, 0, 0)
TAKEN = {
    "a palette": encoded(Image.new("RGB", (8, 8), RED).convert("P", palette=Image.Palette.ADAPTIVE)),
    "transparent": encoded(Image.new("RGBA", (8, 8), (*RED, 0))),
    "CMYK": encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 55)), "TIFF"),
    "a GIF by another name": encoded(Image.new("RGB", (8, 8), RED), "GIF"),
}


@pytest.mark.parametrize("content", TAKEN.values(), ids=TAKEN)
def test_colours_are_kept(tmp_path, content):
    folder = pictures(tmp_path / "mine", content)
    prepared(of_images(folder), tmp_path)
    found = np.concatenate(
        [arrays.load_split(tmp_path / "prepared", split).arrays["images"] for split in ("train", "validation", "test")]
    )
    assert (found == np.array(RED)).all(axis=(1, 2, 3)).sum() == 1  # the only one that is red


@pytest.mark.parametrize("make", ["a folder", "a link to nothing", "another form"])
def test_what_is_no_file_of_an_image_is_named(tmp_path, make):
    folder = pictures(tmp_path / "mine")
    path = folder / "good" / ("odd.webp" if make == "another form" else "odd.png")
    {"a folder": path.mkdir, "a link to nothing": lambda: path.symlink_to("none"), "another form": path.touch}[make]()
    with pytest.raises(ValueError, match=f"{path}: is no image; the folder of a class holds .png, .jpg, .jpeg files"):
        prepared(of_images(folder), tmp_path)


def test_a_class_without_images_is_named(tmp_path):
    folder = pictures(tmp_path / "mine")
    for path in (folder / "good").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="all 10 labels are 'bad'; a classification needs two classes"):
        prepared(of_images(folder), tmp_path)


@pytest.mark.parametrize("cell", [WHOLE[:100], b""], ids=["half", "empty"])
def test_a_damaged_image_of_a_parquet_file_is_named_by_its_row(tmp_path, cell):
    images = [
        cell if i == 7 else WHOLE + bytes([i]) for i in range(20)
    ]  # no two alike; what follows an image is not read
    table = {"image": pa.array(images, pa.binary()), "label": [CLASSES[i % 2] for i in range(20)]}
    pq.write_table(pa.table(table), tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match=r"image with id 7 of \w+, path mine.parquet, cannot be read"):
        prepared(of_images(tmp_path / "mine.parquet", columns={"image": "image"}), tmp_path)
