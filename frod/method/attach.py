"""Put adapters on a model, group what trains for an optimiser, and fold the adapters into the weights again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from frod.method import decomposition, pattern
from frod.method.basis import Basis, CategoryBasis
from frod.method.identity import describe, model_hash, weight_of
from frod.method.linear import FrodLinear
from frod.method.plan import check
from frod.method.products import SharedState
from frod.method.targets import canonical_names, find


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """What was attached to a model; kept on it as `model._frod`.

    Attributes
    ----------
    basis_digest, model_hash : str
        Which basis, and which frozen weights.
    layers : dict of str to str
        Name of each adapted layer in this model -> its canonical name.
    train : tuple of str
        Modules that train in full besides the adapter: the head.
    required_grad : frozenset of str
        Parameters that required a gradient before, to restore on merging.
    """

    basis_digest: str
    model_hash: str
    targets: tuple[str, ...] | str
    sparse_rate: float
    seed: int
    layers: dict[str, str]
    train: tuple[str, ...]
    required_grad: frozenset[str]


def attach(
    model: nn.Module,
    basis: Basis,
    *,
    sparse_rate: float = 0.01,
    seed: int = 0,
    plan: str = "auto",
    train: Sequence[str] = (),
) -> nn.Module:
    """Replace the target layers by adapted ones, in place; only the adapter and the modules in `train` train.

    The outputs of the model do not change by a bit. Move and cast the model before, not after: adapter numbers are
    float32 beside half-precision weights, and a later `model.half()` would round them.

    Parameters
    ----------
    model : nn.Module
        The model the basis was extracted from (its head may differ).
    basis : Basis
    sparse_rate : float
        int(sparse_rate * n^2) entries of S train, per layer.
    seed : int
        Seeds the pattern of S, and nothing else.
    plan : {"auto", "materialised", "factored"}
        How training steps are computed; "auto" takes the cheaper one for the shapes at hand.
    train : sequence of str
        Names of modules (the head) that stay trainable in full. They are saved with the adapter.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    ValueError
        If the model is not the basis's (both hashes are shown), has an adapter already, or an argument is impossible.
    """
    checked_plan = check(plan)
    if attachment_of(model) is not None:
        raise ValueError("the model has a FRoD adapter already; merge it, or start from a fresh model.")
    names = _matching_layers(model, basis)
    for category in basis.categories.values():
        pattern.entries(category.n, sparse_rate)
    prefixes = _check_train(model, train, names)
    required_grad = frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    model.requires_grad_(False)
    real = {canonical: name for name, canonical in names.items()}
    for name, category in basis.categories.items():
        _attach_category(model, name, category, real, sparse_rate=sparse_rate, seed=seed, plan=checked_plan)
    for _, parameter in _head_parameters(model, prefixes):
        parameter.requires_grad_(True)
    attachment = Attachment(
        basis_digest=basis.digest(),
        model_hash=basis.model_hash,
        targets=basis.targets,
        sparse_rate=float(sparse_rate),
        seed=int(seed),
        layers=names,
        train=prefixes,
        required_grad=required_grad,
    )
    cast(Any, model)._frod = attachment
    return model


def attachment_of(model: nn.Module) -> Attachment | None:
    """What is attached to the model, if anything."""
    return cast("Attachment | None", getattr(model, "_frod", None))


def required_attachment(model: nn.Module) -> Attachment:
    """What is attached to the model; an error if nothing is."""
    attachment = attachment_of(model)
    if attachment is None:
        raise ValueError(f"this {type(model).__name__} has no FRoD adapter; attach one first.")
    return attachment


def _matching_layers(model: nn.Module, basis: Basis) -> dict[str, str]:
    """Names of the target layers -> canonical names, after checking that they are those of the basis."""
    found = {name: layer for layers in find(model, basis.targets).values() for name, layer in layers.items()}
    names = canonical_names(found)
    here = {names[name]: describe(layer) for name, layer in found.items()}
    there = {name: size for category in basis.categories.values() for name, size in category.layers.items()}
    if here.keys() != there.keys():
        raise ValueError(
            "the model's target layers are not the basis's: "
            f"only in the model {sorted(here.keys() - there.keys())[:4]}, only in the basis "
            f"{sorted(there.keys() - here.keys())[:4]}. Attach to the model the basis was extracted from."
        )
    for name, size in here.items():
        if size != there[name]:
            raise ValueError(
                f"layer {name!r} has (out, in, dtype) {size} in the model, {there[name]} in the basis. Extract a basis "
                "from this model, or load the model as it was then."
            )
    found_hash = model_hash(model, found)
    if found_hash != basis.model_hash:
        raise ValueError(
            f"the model's frozen weights have the hash {found_hash}, those of the basis {basis.model_hash}: same "
            "shapes, other weights. Extract a basis from this model, or load the weights it was extracted from."
        )
    return names


def _check_train(model: nn.Module, train: Sequence[str], layers: dict[str, str]) -> tuple[str, ...]:
    if isinstance(train, str):
        raise ValueError(f"train={train!r} must be a list of module names: train=[{train!r}].")
    modules = dict(model.named_modules())
    for prefix in train:
        if prefix not in modules or not prefix:
            raise ValueError(f"train names {prefix!r}, which is no module of {type(model).__name__}.")
        inside = [name for name in layers if name == prefix or name.startswith(prefix + ".")]
        if inside:
            raise ValueError(
                f"train names {prefix!r}, which holds the target layer {inside[0]!r}; that one stays frozen."
            )
    return tuple(train)


def _attach_category(
    model: nn.Module,
    name: str,
    category: CategoryBasis,
    real: dict[str, str],
    *,
    sparse_rate: float,
    seed: int,
    plan: Any,
) -> None:
    rows, columns = (torch.from_numpy(places) for places in pattern.draw(name, category.n, sparse_rate, seed))
    shared: dict[tuple[torch.device, torch.dtype], SharedState] = {}
    with torch.no_grad():
        first = weight_of(model.get_submodule(real[next(iter(category.layers))]))
        # The products with V^-T are few and decide what lambda means, so they are taken in float64.
        V = category.V.to(first.device, torch.float64)
        V_inv = torch.linalg.inv(V)
        refine = decomposition.needs_refinement(V, V_inv)
        for canonical in category.layers:
            base = model.get_submodule(real[canonical])
            W = weight_of(base)
            place = (W.device, torch.promote_types(W.dtype, torch.float32))
            if place not in shared:
                shared[place] = SharedState(category.V.to(*place), rows, columns)
            B = decomposition.coordinates(W.to(V.device), V, V_inv.T, refine=refine)
            U, lambda_0 = decomposition.split(B, lambda_=category.lambda_0[canonical])
            layer = FrodLinear(base, shared[place], U=U, lambda_0=lambda_0, plan=plan)
            model.set_submodule(real[canonical], layer.train(base.training))


def frod_layers(model: nn.Module) -> Iterator[tuple[str, FrodLinear]]:
    """The adapted layers by canonical name."""
    for name, canonical in required_attachment(model).layers.items():
        yield canonical, cast(FrodLinear, model.get_submodule(name))


def _head_parameters(model: nn.Module, prefixes: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if any(name.startswith(prefix + ".") for prefix in prefixes):
            yield name, parameter


def head_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of what trains in full, by their names in the model."""
    result: dict[str, Tensor] = {}
    for prefix in required_attachment(model).train:
        state = model.get_submodule(prefix).state_dict(keep_vars=True)
        result |= {f"{prefix}.{name}": tensor for name, tensor in state.items()}
    return result


def parameter_groups(
    model: nn.Module,
    *,
    lr_scale: float,
    lr_rotation: float,
    lr_head: float | None = None,
    weight_decay: float = 0.0,
    scale_weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Group what trains for a torch optimiser.

    Parameters
    ----------
    model : nn.Module
        With an adapter.
    lr_scale, lr_rotation, lr_head : float
        Rates of lambda, of S, and of what trains in full.
    weight_decay : float
        For S and the head.
    scale_weight_decay : float
        For lambda. It starts as the pretrained weight's own, so decay pulls the weight to zero: 0, unless the released
        scripts' inadvertent 0.01 is to be repeated.

    Returns
    -------
    list of dict
        With "name" "scale", "rotation" and, if anything trains in full, "head".
    """
    layers = [layer for _, layer in frod_layers(model)]
    head = [parameter for _, parameter in _head_parameters(model, required_attachment(model).train)]
    groups: list[dict[str, Any]] = [
        {
            "name": "scale",
            "params": [layer.scale for layer in layers],
            "lr": lr_scale,
            "weight_decay": scale_weight_decay,
        },
        {
            "name": "rotation",
            "params": [layer.rotation for layer in layers],
            "lr": lr_rotation,
            "weight_decay": weight_decay,
        },
    ]
    if head:
        if lr_head is None:
            raise ValueError(f"lr_head=None, but {required_attachment(model).train} train in full; give their rate.")
        groups.append({"name": "head", "params": head, "lr": lr_head, "weight_decay": weight_decay})
    return groups


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """Fold the adapters into the weights, in place, and put the plain layers back.

    The outputs equal those of the adapted model in evaluation bit for bit. Gradients are required again of the
    parameters of which they were before `attach`.

    Returns
    -------
    nn.Module
        The same model, without adapters.
    """
    attachment = required_attachment(model)
    for name in attachment.layers:
        layer = cast(FrodLinear, model.get_submodule(name))
        layer.weight.copy_(layer.form_weight())
        model.set_submodule(name, layer.base.train(layer.training))
    del cast(Any, model)._frod
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in attachment.required_grad)
    return model
