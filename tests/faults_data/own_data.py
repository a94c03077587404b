"""Data of one's own, sound or not, and what their preparation comes to; no backbone is needed for it."""

import io

import numpy as np
from PIL import Image

from frod.tasks.prepare import prepare
from frod.tasks.registry import TaskSpec

TEXT = {"kind": "text", "max_length": 8, "pad_token_id": 0}
IMAGES = {
    "kind": "images",
    "size": [8, 8],
    "channels": 3,
    "resize": 8,
    "interpolation": "bilinear",
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}
CLASSES = ("bad", "good")


class Lengths:
    """A tokenizer that gives a word its length as token, and keeps the first."""

    truncation_side = "right"

    def __call__(self, *parts, truncation=False, max_length=None, **_):
        rows = [[len(word) for text in texts for word in text.split()] for texts in zip(*parts, strict=True)]
        return {"input_ids": [row[:max_length] if truncation else row for row in rows]}


def entry(path, **changes):
    """A task of the data at `path`, all in one split: 20 examples or so of two classes."""
    return TaskSpec.model_validate(
        {
            "title": "Mine",
            "kind": "sentences",
            "source": {"path": str(path)},
            "licence": "mine",
            "columns": {"text": ["text"], "label": "label"},
            "classes": list(CLASSES),
            "train": {"from": "all"},
            "validation": {"from": "all", "rows": 4},
            "test": {"from": "all", "rows": 6},
            "metrics": ["accuracy"],
        }
        | changes
    )


def of_images(path, **changes):
    """The same of a folder of images."""
    return entry(path, **({"kind": "images", "columns": {}} | changes))


def prepared(task, out):
    """Prepare a task as `frod task` does; returns the manifest."""
    facts = IMAGES if task.kind == "images" else TEXT
    return prepare("mine", task, backbone="b", input_facts=facts, tokenizer=Lengths(), out=out / "prepared", seed=0)


def rows(text=lambda i: f"text {i}", label=lambda i: CLASSES[i % 2], count=20):
    """A csv, of functions of a row's number."""
    return "text,label\n" + "".join(f"{text(i)},{label(i)}\n" for i in range(count))


def odd(value, usual, at=3):
    """A function of a row's number that is odd at one."""
    return lambda i: value if i == at else usual(i)


def encoded(image, form="PNG", **options):
    """An image as the bytes of a file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def noise(size=(24, 16)):
    """An image that no format can make small."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


def pictures(folder, odd_one=None, name="odd.png"):
    """Ten small images of each class, and one more of the first, as bytes."""
    for c, kind in enumerate(CLASSES):
        (folder / kind).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (8, 8), (i, c, 0)).save(folder / kind / f"{i}.png")
    if odd_one is not None:
        (folder / CLASSES[0] / name).write_bytes(odd_one)
    return folder
