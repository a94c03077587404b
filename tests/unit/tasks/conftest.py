"""Fixtures of the tasks' tests: a mirror laid out like the Hub, and the inputs of two kinds of backbone."""

import pytest
from small_sources import WordTokenizer, entry, sentences, write

from frod.tasks.registry import TaskSpec


@pytest.fixture
def tokenizer():
    return WordTokenizer()


@pytest.fixture
def text_facts():
    return {"kind": "text", "max_length": 8, "pad_token_id": 7}


@pytest.fixture
def image_facts():
    return {
        "kind": "images",
        "size": [8, 8],
        "channels": 1,
        "resize": None,
        "interpolation": "bilinear",
        "mean": [0.3],
        "std": [0.4],
    }


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
