"""Where the definition says which basis it is, a release changes no digit of it: adapters that were saved stay of use.

The digests are those of the release before the rule for bases that the definition leaves open.
"""

import json
import os
from pathlib import Path

import forks
import pytest

from frod import backbones, numerics
from frod.backbones import registry

ROOT = Path(__file__).parents[2]
SHIPPED = Path(backbones.__file__).parent / "shipped"
DIGESTS = {
    ("minilm", "float64"): "7197b3a3d43ba9ecf45c376ab30b16dfbe7fd171ba2ae064c095dfc826520e14",
    ("minilm", "float32"): "01a8d04740ee8041b19360459545977a8fe6873259a88276af2b4a69a6562332",
    ("micro_llama", "float64"): "5fa6e0461207482451763746179162b749d9921783fd789dd1244d2cba8057b3",
    ("micro_llama", "float32"): "54972c7fb9560604f84113659a3c770fcf6a46e04f75f9e7ebe8b054eba59d4c",
}
PORTABLE = {numerics.VARIABLE: "portable", **numerics.PORTABLE, "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.skipif(not numerics.has_avx2(), reason="portable numerics need AVX2, which this processor has not")
@pytest.mark.parametrize(("name", "dtype"), DIGESTS)
def test_the_basis_is_what_it_was(name, dtype, tmp_path):
    folder = SHIPPED / name
    if not folder.is_dir():
        folder = tmp_path / name
        backbones.materialise(name, registry.load()[name], folder)
    spec = {"kind": "shared", "ridge": 1e-3, "dtype": dtype, "targets": None}
    command = ["basis", "--spec", json.dumps(spec), "--backbone", folder, "--out", tmp_path / "basis"]
    environment = os.environ | PORTABLE | {"FROD_CACHE": str(tmp_path / "cache")}
    done = forks.run(["python", "-m", "frod", *map(str, command)], ROOT, environment)
    assert done.returncode == 0, done.stdout
    manifest = json.loads((tmp_path / "basis" / "manifest.json").read_text())
    assert manifest["digest"] == DIGESTS[name, dtype]
