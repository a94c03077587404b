"""An adapter on disk: one safetensors file with what was trained, and what it was trained on.

Tensors: ``LAYER.scale`` (n,) and ``LAYER.rotation`` (k,) per adapted layer, by canonical name, under ``adapter.``, but
for the one that is frozen: its start follows from the basis; what
trains in full under ``head.``, by its name in the model; buffers that training changed besides (running statistics)
under ``buffer.``, by theirs in the plain model. The pattern follows from the seed and is not stored; one that
was given instead is, as ``pattern.CATEGORY`` (2, k), rows and columns.
"""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from frod.method import running_state
from frod.method.attach import attach
from frod.method.basis import MANIFEST, Basis, check_is_basis
from frod.method.conversion import convert
from frod.method.merge import detach
from frod.method.pattern import Places, draw_places
from frod.method.saving import write_tensors
from frod.method.state import (
    adapter_tensors,
    changed_buffers,
    find_state,
    frod_layers,
    get_adapter,
    get_state,
    head_tensors,
    remove_adapter,
    set_adapter,
)
from frod.method.wrappers import copy_into, full_tensor, is_sharded, unwrapped

FORMAT = "frod adapter 1"
ADAPTER = "adapter.safetensors"


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
    result |= {f"adapter.{name}.{group}": tensor for name, group, tensor in adapter_tensors(model)}
    heads = {id(tensor): (f"head.{name}", tensor) for name, tensor in reversed(head_tensors(model).items())}
    return result | dict(reversed(heads.values()))


def save_adapter(model: nn.Module, path: str | os.PathLike[str], *, with_basis: bool = False) -> None:
    """Write the adapter, and what trained in full with it, to the file `path`.

    A file of that name is whole: it is written to a temporary name and renamed. With `with_basis`, `path` is a folder,
    with the adapter in `adapter.safetensors` and its basis: all that `load_adapter` needs but the model. Of a
    model that FSDP2 shards, all processes have to call this, and the first one writes; the others wait for it
    (`barrier`) before they read.
    """
    adapter = get_adapter(model)
    settings = adapter.settings() | {"format": FORMAT, "targets": adapter.targets}
    everything = trained_tensors(model) | _statistics(model) | _given_places(model)
    shared = any(is_sharded(tensor) for tensor in everything.values())
    tensors = {name: full_tensor(tensor).cpu() for name, tensor in everything.items()}
    if shared and torch.distributed.get_rank() != 0:
        return
    target = Path(path)
    if target.is_dir() and not with_basis:
        raise ValueError(f"{target} is a folder; name a file, or take with_basis=True to save the basis there, too.")
    if target.is_file() and with_basis:
        raise ValueError(f"{target} is a file; with_basis=True makes a folder: give it another name.")
    if with_basis:
        get_state(model).basis.save(target)
        target /= ADAPTER
    write_tensors(target, tensors, {"frod": json.dumps(settings, sort_keys=True)})


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What an adapter file says it was trained on; ValueError if it is no adapter file of this format."""
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


def _given_places(model: nn.Module) -> dict[str, Tensor]:
    """The places of S of the adapter in use, by their names on disk, if they follow from no seed."""
    if get_adapter(model).seed is not None:
        return {}
    return {f"pattern.{layer.category}": torch.stack(layer.pattern_places()) for _, layer in frod_layers(model)}


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    base = get_state(model).buffers  # whose dtype they take again, after a cast of the model
    changed = changed_buffers(model)
    return {f"buffer.{name}": tensor.to(base.get(name, tensor).dtype) for name, tensor in changed.items()}


def load_adapter(
    model: nn.Module, path: str | os.PathLike[str], basis: Basis | None = None, *, name: str = "default"
) -> nn.Module:
    """Put a saved adapter on a model, in place; the outputs are those of the model that was saved.

    Parameters
    ----------
    model : nn.Module
        Plain, with the frozen weights it was trained on; or with adapters, to which this one is added or, if it has the
        name and settings of one, over which it is written; also wrapped for several processes, each of which has to
        call this. The adapter is the one in use then. The model is also returned.
    path : path-like
        A file of `save_adapter`, or a folder that it wrote with the basis.
    basis : Basis, optional
        The basis it was trained with; by default the one in the same folder. If one does, this may be another one, of
        the same weights: extracted elsewhere it has its columns in another order, with other signs and rounded
        otherwise. What was trained is then converted, with a warning that says so.
    name : str
        What to call the adapter on this model.

    Raises
    ------
    ValueError
        If the file does not fit; both sides are named, and the model is left as it was.
    """
    path = Path(path) / ADAPTER if Path(path).is_dir() else Path(path)
    settings = read_settings(path)
    with safe_open(path, framework="pt") as file:
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    given, buffers = _popped(stored, "pattern."), _popped(stored, "buffer.")
    places = {name: (rows, columns) for name, (rows, columns) in given.items()}
    state = find_state(model)
    if basis is None:
        basis = _beside(path) if state is None else state.basis
    check_is_basis(basis)
    if basis.digest() != settings["basis_digest"]:
        stored, places = _converted(path, settings, stored, places, basis)
    if state is not None:
        get_adapter(model)  # refuses within `disabled`
    before = None if state is None else state.active
    fresh = state is None or name not in state.adapters
    try:
        if fresh:
            attach(
                model,
                basis,
                sparse_rate=settings["sparse_rate"],
                seed=settings["seed"] or 0,
                train=settings["train"],
                layers=settings["blocks"],
                patterns=places or None,
                freeze=settings.get("freeze", ()),
                name=name,
            )
        else:
            set_adapter(model, name)
            _check_adapter(model, settings, places, path)
        _check_alike(running_state.buffers(unwrapped(model)), buffers, path)
        _copy(trained_tensors(model), stored, path)
        values = {**get_state(model).buffers, **buffers}
        running_state.set_to(unwrapped(model), values, get_adapter(model).train)
        for _, layer in frod_layers(model):
            layer.drop_cache()
    except BaseException:  # also without room on the device
        if before is not None:
            set_adapter(model, before)
        if fresh and find_state(model) is not None:
            remove_adapter(model, name) if before is not None else detach(model)
        raise
    return model


def _popped(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}


def _beside(path: Path) -> Basis:
    """The basis in the folder of an adapter file."""
    if not (path.parent / MANIFEST).is_file():
        raise ValueError(
            f"{path} has no basis next to it: give the one it was trained with, load_adapter(model, path, "
            "frod.Basis.load(...)), or save it with with_basis=True."
        )
    return Basis.load(path.parent)


def _converted(
    path: Path, settings: dict[str, Any], stored: dict[str, Tensor], places: dict[str, Places], basis: Basis
) -> tuple[dict[str, Tensor], dict[str, Places]]:
    """What was trained, and the places of S, for another basis of the same weights; changes the settings alike."""
    own = Basis.load(path.parent) if (path.parent / MANIFEST).is_file() else None
    if own is None or own.digest() != settings["basis_digest"] or own.model_hash != basis.model_hash:
        raise ValueError(
            f"{path} was trained with the basis {settings['basis_digest']} (of the model {settings['model_hash']}); "
            f"this basis is {basis.digest()} (of the model {basis.model_hash}). On another basis of the same weights "
            "it loads if it was saved with with_basis=True."
        )
    rate = 0 if "rotation" in settings.get("freeze", ()) else settings["sparse_rate"]
    places = places or draw_places(own, rate, settings["seed"])
    try:
        stored, moved, lost = convert(stored, places, own, basis)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    warnings.warn(
        f"{path}: converted to this basis, which is the adapter's up to order, sign and rounding of its columns "
        f"(of what was trained {lost:.1g} is lost).",
        stacklevel=3,
    )
    if any(not torch.equal(torch.stack(moved[name]), torch.stack(where)) for name, where in places.items()):
        settings["seed"] = None
    settings["basis_digest"] = basis.digest()
    return stored, (moved if settings["seed"] is None else {})


def _check_adapter(model: nn.Module, settings: Mapping[str, Any], places: Mapping[str, Places], path: Path) -> None:
    """Refuse a file whose settings or places of S are not those of the adapter in use."""
    for key, here in ({"freeze": None} | get_adapter(model).settings()).items():
        if here != settings.get(key):
            raise ValueError(f"{path} has {key}={settings.get(key)!r}, the adapter on the model {key}={here!r}.")
    mine = _given_places(model)
    there = {f"pattern.{key}": torch.stack(where) for key, where in places.items()}  # converted, of all categories
    if any(not torch.equal(mine[key].cpu(), there[key]) for key in mine.keys() & there.keys()):
        raise ValueError(f"{path} and the adapter on the model have S at other places; load it under another name.")


def _copy(here: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path) -> None:
    if here.keys() != stored.keys():
        raise ValueError(
            f"{path} and the model do not hold the same tensors: only in the file "
            f"{sorted(stored.keys() - here.keys())[:4]}, only in the model {sorted(here.keys() - stored.keys())[:4]}."
        )
    _check_alike(here, stored, path)
    for name, tensor in stored.items():
        copy_into(here[name], tensor)


def _check_alike(here: Mapping[str, Tensor], stored: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in stored.items():
        if name not in here:
            raise ValueError(f"{path} has values for {name!r}, a buffer that the model does not have.")
        mine = here[name]
        if (tuple(tensor.shape), tensor.dtype) != (tuple(mine.shape), mine.dtype):
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(tensor.shape)} and {tensor.dtype} in the file, "
                f"{tuple(mine.shape)} and {mine.dtype} in the model."
            )
