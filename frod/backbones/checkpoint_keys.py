"""Weights under the names that the model itself has.

Checkpoints of the Hub may have others: of an older version of the library, or of the model that holds the backbone (all
of CLIP, for timm). The libraries rename while loading; who reads the files one weight at a time could not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from frod.backbones.causal import configuration, is_causal
from frod.backbones.loading import create_timm, empty, library_class, quiet
from frod.backbones.model_head import belongs_to_head, head_modules

if TYPE_CHECKING:
    import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def rewrite(folder: Path, library: str, kind: str) -> bool:
    """Rewrite a folder's weights where their names are not the model's; return whether they were not.

    The folder has config.json and safetensors, as the library has them; `library` and `kind` are as of `loading.empty`.
    """
    model = empty(folder, library, kind)
    head = head_modules(model)
    own = {name for name in model.state_dict() if not belongs_to_head(name, head)}
    stored = _names(folder)
    if library == "timm":
        if own <= stored and (folder / WEIGHTS).is_file():
            return False
        weights = _timm(folder)
    else:
        # The bare body's checkpoint lacks the first part of the names: bert.encoder... is encoder...
        if all(name in stored or name.partition(".")[2] in stored for name in own):
            return False
        weights = _transformers(folder, kind)
    kept = {name: weight for name, weight in weights.items() if name in own}
    if kind == "text" and is_causal(configuration(folder, library)):
        kept |= _language_head(folder, set(model.state_dict()))
    _replace(folder, kept)
    return True


def _language_head(folder: Path, classifier: set[str]) -> dict[str, torch.Tensor]:
    """Return the stored weights that the causal model has and the classifier lacks; none where they are tied."""
    from safetensors import safe_open

    # Each weight once: one that is tied to the embedding is not among them.
    further = {name for name, _ in empty(folder, "transformers", "causal").named_parameters()} - classifier
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in further & set(file.keys())}
    return found


def _names(folder: Path) -> set[str]:
    from safetensors import safe_open

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names |= set(file.keys())
    return names


def _timm(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    model = create_timm(folder, num_classes=2)
    weights: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights |= load_file(path)
    # timm's name for it, everywhere
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    return rename(weights, model) if rename else weights


def _transformers(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """Load all that the files have; what they lack stays missing, to be refused by whoever loads the folder."""
    with quiet():
        model, report = library_class(kind).from_pretrained(
            folder,
            dtype="auto",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    lacking = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    found = dict(model.named_parameters()) | dict(model.named_buffers())  # each once: tied weights have several names
    return {name: weight for name, weight in found.items() if name not in lacking}


def _replace(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    for path in (*folder.glob("*.safetensors"), folder / INDEX):
        path.unlink(missing_ok=True)
    whole = {name: weight.detach().contiguous().clone() for name, weight in weights.items()}
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
