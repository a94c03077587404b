"""Tiny models, materialised once for all tests of the room."""

import pytest
import torch
from tiny_hub import WRITERS, entry, tiny_vit

from frod import backbones
from frod.backbones.registry import BackboneSpec


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """A mirror folder with models/someone/KIND."""
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


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    """A tiny timm model, hardly pre-trained."""
    import numpy as np

    out = tmp_path_factory.mktemp("vit") / "vit"
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8), dtype=np.uint8)
    backbones.materialise("vit", BackboneSpec.model_validate(tiny_vit()), out, pretraining_data=images)
    return out
