"""Tiny models of the paper's three kinds, materialised once for all tests of the room."""

import pytest
import torch
from tiny_hub import WRITERS, entry

from frod import backbones
from frod.backbones.registry import BackboneSpec


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """A mirror folder with models/someone/{llama,roberta,clip}."""
    mirror = tmp_path_factory.mktemp("mirror")
    with torch.random.fork_rng():
        for kind, write in WRITERS.items():
            folder = mirror / "models" / "someone" / kind
            folder.mkdir(parents=True)
            write(folder)
    return mirror


@pytest.fixture(scope="session")
def folders(mirror, tmp_path_factory):
    """By kind, the folder that `materialise` made of it."""
    out = tmp_path_factory.mktemp("models")
    for kind in WRITERS:
        spec = BackboneSpec.model_validate(entry(kind))
        backbones.materialise(kind, spec, out / kind, mirror=mirror)
    return {kind: out / kind for kind in WRITERS}
