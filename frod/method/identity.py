"""What identifies a model's frozen weights: their names, dtypes, shapes and bytes, and nothing else."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from frod.method.targets import canonical_names, find, is_conv1d


def weight_of(layer: nn.Module) -> Tensor:
    """The weight as W (m, n), a view, whatever layout the layer keeps it in."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.detach().T if is_conv1d(layer) else weight.detach()


def describe(layer: nn.Module) -> tuple[int, int, str]:
    """(m, n, dtype) of a layer's weight."""
    m, n = weight_of(layer).shape
    return m, n, str(weight_of(layer).dtype).removeprefix("torch.")


def model_hash(model: nn.Module, names: Iterable[str] | None = None) -> str:
    """Identify the frozen weights of the target layers.

    Parameters
    ----------
    model : nn.Module
        Plain, or with an adapter attached (then the frozen weights below it are read).
    names : iterable of str, optional
        Names of the layers in this model; by default those of the attached adapter, or the default targets.

    Returns
    -------
    str
        Hexadecimal sha256 over canonical name, dtype, shape and bytes of each weight, in the order of the names.
    """
    if names is None:
        attachment = getattr(model, "_frod", None)
        found = attachment.layers if attachment is not None else [k for v in find(model).values() for k in v]
        names = list(found)
    canonical = canonical_names(names)
    digest = hashlib.sha256()
    for name in sorted(canonical, key=canonical.__getitem__):
        layer = model.get_submodule(name)
        update(digest, canonical[name], weight_of(getattr(layer, "base", layer)))
    return digest.hexdigest()


def update(digest: "hashlib._Hash", name: str, tensor: Tensor) -> None:
    """Feed name, dtype, shape and bytes of a tensor into a digest."""
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
    raw = tensor.detach().to("cpu").contiguous()
    # NumPy has no bfloat16, so the bytes are reached through an integer view.
    digest.update(cast(Any, raw.view(torch.uint8).numpy()))


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
