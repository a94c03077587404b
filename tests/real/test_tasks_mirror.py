"""GLUE's SST-2 and CoLA, and MNIST's images, as the Hub lays them out. Needs FROD_MIRROR, a folder that has them."""

import os
from pathlib import Path

import numpy as np
import pytest

from frod import backbones
from frod.backbones import registry as models
from frod.tasks import arrays, registry
from frod.tasks.prepare import prepare

MIRROR = Path(os.environ.get("FROD_MIRROR", "unset"))
GLUE = MIRROR / "datasets" / "nyu-mll" / "glue"
MNIST = MIRROR / "datasets" / "ylecun" / "mnist" / "mnist" / "test-00000-of-00001.parquet"

pytestmark = pytest.mark.skipif(not GLUE.is_dir(), reason="FROD_MIRROR is not set to a folder with GLUE")


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "minilm"
    backbones.materialise("minilm", models.get("minilm"), folder)
    return folder


def prepared(name, minilm, out, **arguments):
    return prepare(
        name,
        registry.load()[name],
        backbone="minilm",
        input_facts=backbones.input_facts(minilm),
        tokenizer=backbones.tokenizer(minilm),
        out=out,
        seed=0,
        mirror=MIRROR,
        **arguments,
    )


@pytest.mark.parametrize(("name", "test", "positive"), [("cola", 1043, 721), ("sst2", 872, 444)])
def test_test_is_the_hubs_labelled_validation(name, test, positive, minilm, tmp_path):
    manifest = prepared(name, minilm, tmp_path / name, max_train=500)
    split = arrays.load_split(tmp_path / name, "test")
    assert (len(split), int(split.labels.sum())) == (test, positive)
    assert manifest["splits"]["train"]["rows"] == 500
    assert manifest["truncated"] == {"train": 0, "validation": 0, "test": 0}


def test_tokens_are_those_of_the_sentence(minilm, tmp_path):
    import pyarrow.parquet as pq

    prepared("cola", minilm, tmp_path / "cola")
    split, tokenizer = arrays.load_split(tmp_path / "cola", "train"), backbones.tokenizer(minilm)
    source = pq.read_table(GLUE / "cola" / "train-00000-of-00001.parquet").to_pylist()
    batch = split.batch(np.array([0, 100, 7000]))
    for row, example in enumerate(split.ids[[0, 100, 7000]]):
        expected = tokenizer(source[example]["sentence"])["input_ids"]
        length = int(batch["attention_mask"][row].sum())
        assert batch["input_ids"][row, :length].tolist() == expected
        assert int(batch["labels"][row]) == source[example]["label"]


@pytest.mark.skipif(not MNIST.is_file(), reason="FROD_MIRROR has no MNIST")
@pytest.mark.parametrize("classes", [10, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]])
def test_images_are_those_of_the_files(tmp_path, classes):
    import io

    import pyarrow.parquet as pq
    from PIL import Image

    entry = registry.load()["mnist"].model_dump(mode="json", exclude_unset=True)
    entry |= {
        "rows": {"test": {"rows": 10000}},
        "classes": classes,
        "train": {"from": "test"},
        "validation": {"from": "test", "rows": 500},
        "test": {"from": "test", "rows": 1000},
    }
    facts = {"kind": "images", "size": [28, 28], "channels": 1, "resize": None, "interpolation": "bicubic"}
    facts |= {"mean": [0.0], "std": [1.0]}
    task = registry.TaskSpec.model_validate(entry)
    manifest = prepare("mnist", task, backbone="b", input_facts=facts, out=tmp_path / "out", seed=0, mirror=MIRROR)
    assert manifest["class_names"] == list("0123456789")
    rows = pq.read_table(MNIST)
    for name, count in (("train", 8500), ("validation", 500), ("test", 1000)):
        split = arrays.load_split(tmp_path / "out", name)
        assert len(split) == count
        for place in (0, 7, count - 1):
            source = rows.slice(int(split.ids[place]), 1).to_pylist()[0]
            pixels = np.asarray(Image.open(io.BytesIO(source["image"]["bytes"])))
            np.testing.assert_array_equal(split.arrays["images"][place, ..., 0], pixels)
            assert split.labels[place] == source["label"]


def test_a_truncated_copy_is_refused(minilm, tmp_path):
    import pyarrow.parquet as pq

    for split in ("train", "validation"):
        table = pq.read_table(GLUE / "cola" / f"{split}-00000-of-00001.parquet")
        folder = tmp_path / "mirror" / "datasets" / "nyu-mll" / "glue" / "cola"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(0, 1000), folder / f"{split}-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=r"1000 rows, the registry says (8551|1043)"):
        prepare(
            "cola",
            registry.load()["cola"],
            backbone="minilm",
            input_facts=backbones.input_facts(minilm),
            tokenizer=backbones.tokenizer(minilm),
            out=tmp_path / "out",
            seed=0,
            mirror=tmp_path / "mirror",
        )
