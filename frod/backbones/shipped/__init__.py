"""The two micro backbones, trained once and shipped, so that nobody has to train them before anything else begins.

NAME/ is the folder that `frod backbone --train` wrote. NAME.json next to it has the recipe, which is what `--spec` was,
and the machine. `frod ship` makes both again. A package of its own, so that weights are code to no other stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frod.provenance import artefacts

FOLDER = Path(__file__).parent
NAMES = ("digit_vit", "micro_llama")


def find(spec: dict[str, Any]) -> Path | None:
    """Folder of the weights that a recipe gives; None where another recipe than the shipped one is asked for.

    `spec` is what `frod backbone --spec` says: name, model, settings and seed of the pre-training, and its task.
    """
    if spec["name"] not in NAMES or spec != recipe(spec["name"])["spec"]:
        return None
    return FOLDER / spec["name"]


def recipe(name: str) -> dict[str, Any]:
    """`spec`: what the weights were made by; `machine`: what they were made on."""
    return artefacts.read_json(FOLDER / f"{name}.json", keys=["spec", "machine"], remedy="install the package again")
