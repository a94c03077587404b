"""Tiny models, materialised once for all tests of the room."""

import pytest
import torch
from tiny_hub import WRITERS, entry

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

    spec = BackboneSpec.model_validate(
        {
            "title": "vit",
            "library": "timm",
            "licence": "none",
            "source": {
                "pretraining": "rotation",
                "data": "digits",
                "architecture": {
                    "name": "vit_tiny_patch16_224",
                    "arguments": {
                        "img_size": 8,
                        "patch_size": 4,
                        "in_chans": 1,
                        "embed_dim": 8,
                        "depth": 1,
                        "num_heads": 2,
                    },
                },
                "settings": {"steps": 1, "batch_size": 4, "lr": 0.001, "weight_decay": 0.0},
            },
        }
    )
    out = tmp_path_factory.mktemp("vit") / "vit"
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8), dtype=np.uint8)
    backbones.materialise("vit", spec, out, pretraining_data=images)
    return out
