"""Small backbones, written once, and their bases."""

import pytest
import small_runs

import frod
from frod import backbones


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    """Folder of a small backbone by its architecture."""
    made = {}

    def folder(architecture):
        if architecture not in made:
            made[architecture] = tmp_path_factory.mktemp(architecture)
            small_runs.write(architecture, made[architecture])
        return made[architecture]

    return folder


@pytest.fixture(scope="session")
def basis(backbone):
    """Basis of a small backbone by its architecture."""
    made = {}

    def extracted(architecture):
        if architecture not in made:
            folder = backbone(architecture)
            made[architecture] = frod.extract_basis(backbones.skeleton(folder), progress=False, checkpoint=folder)
        return made[architecture]

    return extracted
