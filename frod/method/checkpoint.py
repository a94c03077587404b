"""An adapter on disk: one safetensors file with what was trained, and what it was trained on.

Tensors: ``LAYER.scale`` (n,) and ``LAYER.rotation`` (k,) per adapted layer, by canonical name, under ``adapter.``; what
trains in full under ``head.``, by its name in the model; buffers that training changed besides (running statistics)
under ``buffer.``, by theirs in the plain model. The pattern follows from the seed and is not stored; one that
was given instead is, as ``pattern.CATEGORY`` (2, k), rows and columns.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from frod.method import statistics
from frod.method.attach import attach
from frod.method.attachment import (
    Attached,
    attached_to,
    changed_buffers,
    frod_layers,
    head_tensors,
    required_attachment,
    set_adapter,
)
from frod.method.basis import Basis
from frod.method.merge import detach
from frod.method.wrappers import fill, in_pieces, unwrapped, whole

FORMAT = "frod adapter 1"
# What has to be the same in the file and in a model that has an adapter already.
_SETTINGS = ("basis_digest", "model_hash", "sparse_rate", "seed", "blocks", "train")


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """All that was trained, under its names on disk; the tensors of the model itself, not copies, tied ones once."""
    result: dict[str, Tensor] = {}
    for name, layer in frod_layers(model):
        if layer.scale.shape != layer.lambda_0.shape:
            raise ValueError(
                f"lambda of layer {name!r} has shape {tuple(layer.scale.shape)} instead of "
                f"{tuple(layer.lambda_0.shape)}: the model's wrapper keeps its parameters in one flat piece. Use FSDP2 "
                "(fully_shard; accelerate: fsdp_version=2)."
            )
        result |= {f"adapter.{name}.scale": layer.scale, f"adapter.{name}.rotation": layer.rotation}
    heads = {id(tensor): (f"head.{name}", tensor) for name, tensor in reversed(head_tensors(model).items())}
    return result | dict(reversed(heads.values()))


def save_adapter(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the adapter, and what trained in full beside it, to the file `path`.

    It is written to a temporary name and renamed, so that a file of that name is whole. Of a model that FSDP2 keeps in
    pieces, all processes have to call this, and the first one writes; the others wait for it (`barrier`) before they
    read.
    """
    attachment = required_attachment(model)
    settings: dict[str, Any] = {key: getattr(attachment, key) for key in _SETTINGS}
    settings |= {"format": FORMAT, "targets": attachment.targets}
    everything = trained_tensors(model) | _statistics(model) | _given_patterns(model)
    shared = any(in_pieces(tensor) for tensor in everything.values())
    tensors = {name: whole(tensor).cpu().contiguous() for name, tensor in everything.items()}
    if shared and torch.distributed.get_rank() != 0:
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    save_file(tensors, temporary, metadata={"frod": json.dumps(settings, sort_keys=True)})
    temporary.replace(target)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What an adapter file says it was trained on: format, basis, model, sparse rate, seed, targets, head.

    Raises
    ------
    ValueError
        If it is no adapter file of this format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"path={str(path)!r} cannot be read as an adapter: {error}") from error
    try:
        settings: dict[str, Any] = json.loads(metadata.get("frod", "{}"))
    except ValueError as error:
        raise ValueError(f"path={str(path)!r}: its settings cannot be read, it was changed: {error}") from None
    settings.setdefault("blocks", None)
    if settings.get("format") != FORMAT:
        raise ValueError(f"path={str(path)!r} has the format {settings.get('format')!r}, not {FORMAT!r}.")
    return settings


def _given_patterns(model: nn.Module) -> dict[str, Tensor]:
    """The patterns of the adapter in use, by their names on disk, if they follow from no seed."""
    if required_attachment(model).seed is not None:
        return {}
    return {f"pattern.{layer.category}": torch.stack(layer.pattern_places()) for _, layer in frod_layers(model)}


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    return {f"buffer.{name}": tensor for name, tensor in changed_buffers(model).items()}


def load_adapter(model: nn.Module, path: str | os.PathLike[str], basis: Basis, *, name: str = "default") -> nn.Module:
    """Put a saved adapter on a model, in place.

    Parameters
    ----------
    model : nn.Module
        Plain, with the frozen weights it was trained on; or with adapters, to which this one is added or, if it has the
        name and settings of one, whose numbers it overwrites. It is the one in use then. The latter also wrapped for
        several processes, each of which has to call this and read the file.
    path : path-like
        A file of `save_adapter`.
    basis : Basis
        The basis it was trained with.
    name : str
        What to call the adapter on this model.

    Returns
    -------
    nn.Module
        The same model; its outputs are those of the model that was saved.

    Raises
    ------
    ValueError
        If basis, model, settings, shapes or dtypes are others than the file's; both sides are named. The model
        is then left as it was.
    """
    settings = read_settings(path)
    if basis.digest() != settings["basis_digest"]:
        raise ValueError(
            f"{path} was trained with the basis {settings['basis_digest']} (of the model {settings['model_hash']}); "
            f"this basis is {basis.digest()} (of the model {basis.model_hash})."
        )
    with safe_open(path, framework="pt") as file:
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    patterns, buffers = _popped(stored, "pattern."), _popped(stored, "buffer.")
    attached = attached_to(model)
    fresh = attached is None or name not in attached.adapters
    if fresh:
        attach(
            model,
            basis,
            sparse_rate=settings["sparse_rate"],
            seed=settings["seed"] or 0,
            train=settings["train"],
            layers=settings["blocks"],
            patterns={key: (rows, columns) for key, (rows, columns) in patterns.items()} or None,
            name=name,
        )
    else:
        set_adapter(model, name)
        _check_settings(model, settings, path)
    try:
        _check_alike(statistics.buffers(unwrapped(model)), buffers, path)
        _copy(trained_tensors(model), stored, path)
        _set_statistics(model, buffers)
        for _, layer in frod_layers(model):
            layer.forget()
    except ValueError:
        if attached is None:
            detach(model)
        raise
    return model


def _popped(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take out the tensors whose names begin so; without that beginning."""
    return {key.removeprefix(prefix): tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}


def _set_statistics(model: nn.Module, stored: Mapping[str, Tensor]) -> None:
    base, train = cast(Attached, attached_to(model)).buffers, required_attachment(model).train
    statistics.set_to(unwrapped(model), {**base, **stored}, train)


def _check_settings(model: nn.Module, settings: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    attachment = required_attachment(model)
    for key in _SETTINGS:
        here = getattr(attachment, key)
        here = list(here) if isinstance(here, tuple) else here
        if here != settings[key]:
            raise ValueError(f"{path} has {key}={settings[key]!r}, the adapter on the model {key}={here!r}.")


def _copy(here: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    if here.keys() != stored.keys():
        raise ValueError(
            f"{path} and the model do not hold the same tensors: only in the file "
            f"{sorted(stored.keys() - here.keys())[:4]}, only in the model {sorted(here.keys() - stored.keys())[:4]}."
        )
    _check_alike(here, stored, path)
    for name, tensor in stored.items():
        fill(here[name], tensor)


def _check_alike(here: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    for name, tensor in stored.items():
        if name not in here:
            raise ValueError(f"{path} has values for {name!r}, a buffer that the model does not have.")
        mine = here[name]
        if (tuple(tensor.shape), tensor.dtype) != (tuple(mine.shape), mine.dtype):
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(tensor.shape)} and {tensor.dtype} in the file, "
                f"{tuple(mine.shape)} and {mine.dtype} in the model."
            )
