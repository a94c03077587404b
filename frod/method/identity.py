"""What identifies a model's frozen weights: their names, dtypes, shapes and bytes, and nothing else."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from frod.method.quantised import dequantised, is_quantised, stored
from frod.method.shards import Stored, bind
from frod.method.targets import Target, canonical_names, find, get, in_features, is_conv1d, out_features


def weight_of(target: Target | Stored) -> Tensor:
    """The weight as W (m, n), whatever layout the layer keeps it in: a view, or the de-quantised weight."""
    if isinstance(target, nn.Module) and is_quantised(target):
        return dequantised(target)
    weight = cast(Tensor, target.weight).detach()
    return weight.T if is_conv1d(target) else weight


def without_zeros(found: Mapping[str, Target]) -> dict[str, Target]:
    """The targets but for those whose weight is all zeros: W' = U (diag(lambda) + S) V^T has no U there to change.

    On the meta device there is nothing to see, and all stay.
    """
    return {name: target for name, target in found.items() if not is_zero(target)}


def is_zero(target: Target | Stored) -> bool:
    """Whether all of the weight is zero."""
    if not isinstance(target, Stored) and cast(Tensor, target.weight).is_meta:
        return False
    return not bool(weight_of(target).any())


def describe(target: Target) -> tuple[int, int, str]:
    """(m, n, dtype) of a target's weight as it is kept."""
    dtype = str(cast(Tensor, target.weight).dtype).removeprefix("torch.")
    return out_features(target), in_features(target), dtype


def model_hash(
    model: nn.Module, names: Iterable[str] | None = None, *, checkpoint: str | os.PathLike[str] | None = None
) -> str:
    """Identify the frozen weights: sha256 over canonical name, dtype, shape and bytes of each, in order of the names.

    Names are of layers in this model, by default those of the adapter, or the default targets; weights below an adapter
    are read. With a `checkpoint`, a folder of safetensors files, they are read from there, and the model may be on the
    meta device.
    """
    if names is None:
        attached = getattr(model, "_frod", None)
        found = attached.layers if attached is not None else [k for v in find(model).values() for k in v]
        names = list(found)
    canonical = canonical_names(names)
    layers = {name: get(model, name) for name in canonical}
    sources = {name: getattr(layer, "base", layer) for name, layer in layers.items()}
    read = sources if checkpoint is None else bind(sources, checkpoint)
    return weights_hash({canonical[name]: source for name, source in read.items()})


def weights_hash(targets: Mapping[str, Target | Stored]) -> str:
    """`model_hash` of target layers that are at hand, by their canonical names."""
    digest = hashlib.sha256()
    for name in sorted(targets):
        update_weight(digest, name, targets[name])
    return digest.hexdigest()


def update_weight(digest: "hashlib._Hash", name: str, target: Target | Stored) -> None:
    """Feed a target's weight as it is kept into a digest; of a quantised one, its packed numbers and scales."""
    if not isinstance(target, Stored) and cast(Tensor, target.weight).is_meta:
        raise ValueError(
            f"layer {name!r} is on the meta device: its weights were offloaded, or not loaded yet. Load the model "
            "whole, without offloading (device_map, cpu_offload), and attach then."
        )
    if isinstance(target, nn.Module) and is_quantised(target):
        for part, tensor in stored(target):
            update(digest, f"{name}.{part}", tensor)
    else:
        update(digest, name, weight_of(target))


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
