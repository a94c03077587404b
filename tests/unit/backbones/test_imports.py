"""Importing transformers or timm takes seconds: a model of the one must not pay for the other."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
import frod.backbones, frod.tasks.prepare, frod.tasks.registry, frod.tasks.arrays
print(*[name for name in ("torch", "transformers", "timm") if name in sys.modules], sep=",")
frod.backbones.load(Path(sys.argv[1]), num_classes=3, seed=0)
print(*[name for name in ("transformers", "timm") if name in sys.modules], sep=",")
"""


@pytest.mark.parametrize(("kind", "library"), [("vit", "timm"), ("roberta", "transformers")])
def test_only_what_is_needed_is_imported(folders, vit, kind, library):
    folder = vit if kind == "vit" else folders[kind]
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", library]
