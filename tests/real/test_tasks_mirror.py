"""GLUE's SST-2 and CoLA as the Hub lays them out, prepared with MiniLM's own tokenizer. Needs the data mirror."""

import os
from pathlib import Path

import numpy as np
import pytest

from frod import backbones
from frod.backbones import registry as models
from frod.tasks import arrays, registry
from frod.tasks.prepare import prepare

MIRROR = Path(os.environ.get("FROD_MIRROR", Path(__file__).parents[2] / ".." / "shared" / "mirror"))
GLUE = MIRROR / "datasets" / "nyu-mll" / "glue"

pytestmark = pytest.mark.skipif(not GLUE.is_dir(), reason=f"no data mirror with {GLUE}; set FROD_MIRROR")


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "minilm"
    backbones.materialise("minilm", models.get("minilm"), folder)
    return folder


def prepared(name, minilm, out, **arguments):
    return prepare(
        name,
        registry.get(name),
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


def test_a_truncated_copy_is_refused(minilm, tmp_path):
    import pyarrow.parquet as pq

    for split in ("train", "validation"):
        table = pq.read_table(GLUE / "cola" / f"{split}-00000-of-00001.parquet")
        folder = tmp_path / "mirror" / "datasets" / "nyu-mll" / "glue" / "cola"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(0, 1000), folder / f"{split}-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="1000 rows, the registry says 8551"):
        prepare(
            "cola",
            registry.get("cola"),
            backbone="minilm",
            input_facts=backbones.input_facts(minilm),
            tokenizer=backbones.tokenizer(minilm),
            out=tmp_path / "out",
            seed=0,
            mirror=tmp_path / "mirror",
        )
