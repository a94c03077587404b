"""Adapters to and from peft (`peft.FrodConfig`, of version 0.20 on), as the checkpoints of its `save_pretrained`.

Reading needs no peft. Writing does: U is not in a checkpoint, so what is written has to fit the U that peft will
compute (see `frod.peft.shared_basis`), and only its own routine tells which.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from frod.method.attach import attach
from frod.method.basis import Basis, CategoryBasis
from frod.method.checkpoint import trained_tensors
from frod.method.decomposition import condition_number
from frod.method.identity import describe, model_hash, weight_of
from frod.method.state import changed_buffers, get_adapter, get_state, head_tensors
from frod.method.targets import Target, canonical_names, in_features, is_conv1d
from frod.method.wrappers import is_distributed, unwrapped
from frod.peft.layers import (
    adapted_layers,
    category_of_name,
    grouped_as_peft_does,
    index_of_name,
    modules_named,
    target_of,
    targets_for,
)
from frod.peft.save_pretrained import OF_CATEGORY, OF_MODEL, PeftCheckpoint, read, write
from frod.peft.shared_basis import (
    PeftCategory,
    common_rate,
    decompose,
    describes,
    entries,
    factors,
    inverse_transposed,
    tolerance,
)


def to_peft(model: nn.Module, directory: str | os.PathLike[str], *, max_sparse_rate: float = 1.0) -> None:
    """Write the adapter in use as a checkpoint that `peft.PeftModel.from_pretrained(base, directory)` loads.

    peft computes U when it loads, from a V that it computes in float32, and that comes out otherwise with another
    number of threads or another library: load the checkpoint on the machine and with the threads it was written with,
    and compare the outputs. This holds for peft's own checkpoints, too. Load peft's base model in float32, if this one
    is in half precision: peft rounds U and V to the dtype of the weights.

    peft's V agrees with ours up to rounding and, for categories of one layer, not at all. Where that moves the outputs,
    further entries of S are written, up to the share `max_sparse_rate` of n^2; a warning says so. None are needed for
    an adapter that was trained on a basis of peft's (`basis_from_peft`). Layers of the basis that are not adapted
    (``layers=`` of `attach`) are written as they start.

    What was frozen is written as it started; that it was is not, peft would train it.

    Raises
    ------
    ValueError
        If peft could not rebuild the adapter: its basis is not of kind "shared", more entries are needed, peft groups
        the layers otherwise, weights are quantised or slices of a fused one, or training changed buffers outside the
        head.
    """
    config_class, routine = _peft()
    if is_distributed(model):
        raise ValueError(
            f"this {type(model).__name__} is wrapped for several processes; write it from the plain model."
        )
    model = unwrapped(model)
    adapter = get_adapter(model)
    if adapter.ridge is None:
        raise ValueError(
            f"the adapter's basis is of kind {get_state(model).basis.kind!r}, and peft computes a shared one: merge, "
            "and exchange the whole model."
        )
    if moved := list(changed_buffers(model)):
        raise ValueError(
            f"training changed {moved[0]!r}, which is no parameter, and peft's checkpoints have no place for it. Train "
            "with that module in eval(), or name it in train=[...]."
        )
    categories = [
        PeftCategory(
            name=name,
            targets=targets,
            layers=adapted_layers(model, targets),
            V_p=decompose(targets, routine, adapter.ridge),
        )
        for name, targets in grouped_as_peft_does(model).items()
    ]
    rate = _rate(categories, adapter.sparse_rate, max_sparse_rate)
    tensors: dict[str, Tensor] = {}
    for category in categories:
        tensors |= _category_tensors(category, rate)
    # peft takes for heads all modules whose names end so.
    heads = list(adapter.train)
    modules = {name: model.get_submodule(name).state_dict() for name in modules_named(model, heads)}
    for name, state in modules.items():
        tensors |= {f"{OF_MODEL}{name}.{key}": value.detach().cpu().clone() for key, value in state.items()}
    config = config_class(
        base_model_name_or_path=getattr(model, "name_or_path", None),
        target_modules=sorted(name for category in categories for name in category.targets),
        modules_to_save=heads or None,
        sparse_rate=rate,
        regularization_alpha=adapter.ridge,
        fan_in_fan_out=any(is_conv1d(target) for category in categories for target in category.targets.values()),
        inference_mode=True,
    )
    architecture = {"base_model_class": type(model).__name__, "parent_library": type(model).__module__}
    write(directory, config, tensors, architecture)


def _peft() -> tuple[Any, Callable[[list[Tensor], float], Tensor]]:
    try:
        from peft import FrodConfig
        from peft.tuners.frod.model import _projection_from_weights
    except ImportError as error:
        raise ImportError("to_peft needs peft 0.20 or later, with FrodConfig: pip install -U peft.") from error
    return FrodConfig, _projection_from_weights


def _rate(categories: list[PeftCategory], own: float, limit: float) -> float:
    """What to write as peft's sparse rate; the adapter's own, if that serves."""
    rate = common_rate(categories, own)
    worst = max(categories, key=lambda category: category.needed / category.n**2)
    if worst.needed <= max(worst.mapped.shape[1], entries(worst.n, own)):
        return rate
    found = (
        f"category {worst.name!r}: the basis that peft computes is not ours there, and S as it is would leave out "
        f"{worst.left_out():.2g} of the weights"
    )
    remedy = "Train on a basis of peft's (frod.basis_from_peft) to keep the rate, or merge and exchange the whole model"
    if rate > limit:
        raise ValueError(
            f"{found}; a sparse rate of {rate:.3g} is needed, max_sparse_rate={limit:g}. {remedy}, or allow the rate."
        )
    warnings.warn(f"{found}; written with a sparse rate of {rate:.3g}, not {own:g}. {remedy}.", stacklevel=3)
    return rate


def _category_tensors(category: PeftCategory, rate: float) -> dict[str, Tensor]:
    places = category.places(rate)
    tensors: dict[str, Tensor] = {}
    for name in category.targets:
        lambda_, values = category.layer(name, places)
        tensors[f"{OF_MODEL}{name}.frod_lambda_l"] = lambda_
        tensors[f"{OF_MODEL}{name}.frod_lambda_s_values"] = values
    tensors[f"{OF_CATEGORY}V.{category.name}"] = category.V_stored.to(lambda_.dtype).contiguous()
    tensors[f"{OF_CATEGORY}s_indices.{category.name}"] = places.contiguous()
    tensors[f"{OF_CATEGORY}s_size.{category.name}"] = torch.tensor([category.n, category.n])
    return tensors


def from_peft(model: nn.Module, directory: str | os.PathLike[str], name: str = "default") -> nn.Module:
    """Put an adapter that peft trained on a plain model, in place.

    The model is the base model as peft was given it, or has adapters on the same basis; it is also returned. Outputs
    are those of the model that peft saved, up to rounding. The directory is a checkpoint of `save_pretrained`, of a
    `peft.FrodConfig`; dropout is of peft's training only and left behind. Train with any plan but "input_side" where a
    category has fewer rows than columns: its noise columns need U itself.
    """
    stored, given, model = read(directory), model, unwrapped(model)
    basis = _basis(model, stored)
    heads = modules_named(model, stored.config.get("modules_to_save") or ())
    _check_heads(model, stored, heads)
    places = {category: (stored.places[category][0], stored.places[category][1]) for category in basis.categories}
    for layer in stored.scale:
        category = category_of_name(layer)
        sizes = stored.scale[layer].shape, stored.rotation[layer].shape
        if sizes != (stored.V[category].shape[:1], stored.places[category].shape[1:]):
            raise ValueError(f"{stored.path}: {layer!r} has lambda and S of other sizes than {category!r}: {sizes}.")
    attach(model, basis, sparse_rate=stored.config["sparse_rate"], train=heads, patterns=places, name=name)
    # Tied modules are one here, and apart in a checkpoint of peft's.
    here = trained_tensors(model) | {f"head.{key}": tensor for key, tensor in head_tensors(model).items()}
    canonical = canonical_names(stored.scale)
    values = {f"adapter.{canonical[layer]}.scale": tensor for layer, tensor in stored.scale.items()}
    values |= {f"adapter.{canonical[layer]}.rotation": tensor for layer, tensor in stored.rotation.items()}
    values |= {f"head.{key}": tensor for key, tensor in stored.heads.items()}
    with torch.no_grad():
        for key, tensor in values.items():
            here[key].copy_(tensor)
    return given


def basis_from_peft(model: nn.Module, directory: str | os.PathLike[str]) -> Basis:
    """The basis of a checkpoint of peft's: peft's V, as stored, over the weights of this model.

    Adapters on it, trained by peft or here, go to peft and back without further entries of S; `load_adapter` takes it
    for what `save_adapter` wrote after `from_peft`. The checkpoint may be trained or fresh.
    """
    return _basis(unwrapped(model), read(directory))


def _basis(model: nn.Module, stored: PeftCheckpoint) -> Basis:
    canonical = canonical_names(stored.scale)
    categories: dict[str, CategoryBasis] = {}
    for category in sorted({category_of_name(layer) for layer in stored.scale}):
        layers = [layer for layer in stored.scale if category_of_name(layer) == category]
        targets = {layer: target_of(model, layer, stored.path) for layer in layers}
        categories[category] = _category(category, targets, stored, canonical)
    return Basis(
        categories=categories,
        model_hash=model_hash(model, stored.scale),
        targets=targets_for(model, stored.scale),
        ridge=float(stored.config["regularization_alpha"]),
    )


def _category(
    name: str, targets: dict[str, Target], stored: PeftCheckpoint, canonical: dict[str, str]
) -> CategoryBasis:
    V = stored.V[name].double()
    wrong = [layer for layer, target in targets.items() if in_features(target) != V.shape[0]]
    if wrong:
        raise ValueError(f"{stored.path}: V of {name!r} is {tuple(V.shape)}, {wrong[0]!r} of the model is not so wide.")
    V_inv_t = inverse_transposed(V, name)
    weights = {layer: weight_of(target).cpu() for layer, target in targets.items()}
    lambda_0 = {layer: factors(W, V, V_inv_t)[1] for layer, W in weights.items()}
    stacked = {index_of_name(layer, at): layer for at, layer in enumerate(weights)}
    of = describes(V, {layer: weights[layer] for layer in stacked.values()}, lambda_0)
    if not of <= (bound := tolerance(stored.V[name].dtype)):
        raise ValueError(
            f"{stored.path}: V of category {name!r} is not that of this model's weights (off by {of:.2g}, more than "
            f"{bound:.2g}). Give the base model it was trained on, {stored.config.get('base_model_name_or_path')!r}."
        )
    return CategoryBasis(
        V=V.float().contiguous(),
        V_inv_t=V_inv_t.float().contiguous(),
        lambda_0={canonical[layer]: values for layer, values in lambda_0.items()},
        layers={canonical[layer]: describe(target) for layer, target in targets.items()},
        facts={
            "condition_number": condition_number(V, V_inv_t.T),
            "solve": True,  # peft trains on columns of U that are only noise, and they have to be the same noise
        },
    )


def _check_heads(model: nn.Module, stored: PeftCheckpoint, heads: list[str]) -> None:
    """Everything in the file that is not FRoD's has to be a head, whole and of this model's shapes."""
    here = {f"{head}.{key}": tensor for head in heads for key, tensor in model.get_submodule(head).state_dict().items()}
    if here.keys() != stored.heads.keys():
        raise ValueError(
            f"{stored.path} and the model differ in what trains in full: only in the file "
            f"{sorted(stored.heads.keys() - here.keys())[:4]}, only in the model "
            f"{sorted(here.keys() - stored.heads.keys())[:4]} (modules_to_save={stored.config.get('modules_to_save')})."
        )
    for key, tensor in stored.heads.items():
        if tensor.shape != here[key].shape:
            raise ValueError(
                f"{stored.path}: {key!r} is {tuple(tensor.shape)} in the file, {tuple(here[key].shape)} in the model."
            )
