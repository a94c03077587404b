"""Fixtures of the tasks' tests: a mirror laid out like the Hub, the inputs of two kinds of backbone, tasks prepared."""

import pytest
from small_sources import WordTokenizer, entry, sentences, write

from frod.tasks.prepare import prepare
from frod.tasks.registry import TaskSpec


@pytest.fixture
def text_facts():
    return {"kind": "text", "max_length": 8, "pad_token_id": 7}


@pytest.fixture
def image_facts():
    sizes = {"size": [8, 8], "channels": 1, "resize": None, "interpolation": "bilinear"}
    return {"kind": "images", "mean": [0.3], "std": [0.4]} | sizes


@pytest.fixture
def mirror(tmp_path):
    """A mirror with one data set: 60 rows for training, 12 labelled ones."""
    folder = tmp_path / "mirror" / "datasets" / "someone" / "texts" / "plain"
    write(folder, sentences(60))
    write(folder, sentences(12), "validation-00000-of-00001.parquet")
    return tmp_path / "mirror"


@pytest.fixture
def spec():
    return TaskSpec.model_validate(entry())


@pytest.fixture
def prepared(tmp_path, text_facts, image_facts):
    """Prepare a task for a backbone that takes its inputs; the folder."""

    def make(task, out="out", **arguments):
        facts = {"input_facts": image_facts if task.kind == "images" else text_facts, "tokenizer": WordTokenizer()}
        prepare("mine", task, backbone="b", out=tmp_path / out, **(facts | {"seed": 0} | arguments))
        return tmp_path / out

    return make
