"""Put adapters on a model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from frod.method import heads, running_state
from frod.method.basis import Basis, CategoryBasis, check_is_basis
from frod.method.blocks import block_indices
from frod.method.fused import install, remove
from frod.method.identity import describe, model_hash, without_zeros
from frod.method.linear import FrodLinear, all_layers
from frod.method.pattern import Places, check_places, draw_places
from frod.method.plan import Plan, check
from frod.method.products import SharedBasis, SparsePattern
from frod.method.quantised import is_quantised, prepare
from frod.method.state import (
    GROUPS,
    AdapterConfig,
    AdapterState,
    find_state,
    get_adapter,
    remember_heads,
    remove_adapter,
    restore_heads,
    stash_heads,
    use,
)
from frod.method.state_dict import follow
from frod.method.targets import canonical_names, find, get
from frod.method.wrappers import is_distributed, unwrapped

# V^-1 is kept in float32. Where eps * cond(V), in the 1-norm, which exceeds the spectral one about tenfold, is beyond
# this, U is formed by solving with V instead.
INVERSE_SERVES = {torch.float32: 1e-3, torch.float64: 1e-11}


def attach(
    model: nn.Module,
    basis: Basis,
    *,
    sparse_rate: float = 0.01,
    seed: int = 0,
    plan: str = "auto",
    train: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    name: str = "default",
    patterns: Mapping[str, Places] | None = None,
    freeze: Sequence[str] = (),
) -> nn.Module:
    """Replace the target layers by adapted ones, in place; only the adapter and the modules in `train` train.

    The outputs do not change by a bit, but for a fused q, k and v: there three products take the place of one, and the
    platform may add in another order. Move and cast the model before. Buffers that training changes outside the head
    (batch norm's statistics) belong to the adapter, too. Called again with another `name`, it adds a second adapter and
    makes it the active one; `set_adapter` switches. `summary` says in a line which layers were taken.

    Parameters
    ----------
    model : nn.Module
        The model the basis was extracted from (its head may differ); it is also returned.
    basis : Basis
    sparse_rate : float
        int(sparse_rate * n^2) entries of S train, per layer.
    seed : int
        Seeds the pattern of S, and nothing else.
    plan : {"auto", "materialised", "factored", "input_side"}
        How training steps are computed; "auto" takes the cheapest for the shapes at hand, "input_side" the least
        memory; it is the only one over quantised layers. Layers that an earlier adapter uses keep theirs.
    train : sequence of str, optional
        Names of modules (the head) that train in full and are saved with the adapter; [] for none. By default the head
        that is found (see `heads.find`), which a warning names. Of tied modules all have to be named.
    layers : sequence of int, optional
        Blocks to adapt, by their index in the model; by default all.
    name : str
    patterns : mapping of str to (rows, columns), optional
        The places of S per category, instead of those drawn from the seed: of an adapter that comes from elsewhere.
        Categories that `layers` leaves without a layer need none.
    freeze : sequence of {"scale", "rotation"}
        One of them stays as it starts: lambda, or S, which then has no places. It is not trained, counted or saved.

    Raises
    ------
    ValueError
        If the model is not the basis's (both hashes are shown), has an adapter of that name, or an argument is
        impossible.
    """
    checked_plan = check(plan)
    _check_arguments(basis, name, layers)
    _check_freeze(freeze, sparse_rate, patterns)
    basis.check()
    if is_distributed(model):
        raise ValueError(
            f"this {type(model).__name__} is wrapped for several processes already; attach to the plain model, then "
            "wrap it."
        )
    given, model = model, unwrapped(model)
    state = find_state(model)
    names = _matching_layers(model, basis) if state is None else _check_adapter(model, state, basis, name)
    adapted = _in_blocks(names, layers, basis)
    _check_plan(model, checked_plan, adapted)
    rate = 0 if "rotation" in freeze else sparse_rate
    places = draw_places(basis, rate, seed) if patterns is None else check_places(basis, patterns, adapted.values())
    prefixes = heads.check(model, heads.taken(model, names) if train is None else train, names)
    heads.warn_of_drawn(model, prefixes, names)
    prepare(model)
    if state is None:
        required_grad = frozenset(n for n, parameter in model.named_parameters() if parameter.requires_grad)
        buffers = running_state.remembered(model)
        state = AdapterState(layers=names, required_grad=required_grad, basis=basis, buffers=buffers)
    heads.refuse_overlap(prefixes, state.original)
    stash_heads(model, state)
    remember_heads(model, state, prefixes)
    try:
        for category_name, category in basis.categories.items():
            real = {n: canonical for n, canonical in adapted.items() if canonical in category.layers}
            if real:
                _attach_category(model, category_name, category, real, name, places[category_name], checked_plan)
    except BaseException:  # no room on the device, Ctrl-C
        _take_back(model, state, name)
        raise
    state.adapters[name] = AdapterConfig(
        basis_digest=basis.digest(),
        model_hash=basis.model_hash,
        targets=basis.targets,
        ridge=basis.ridge,
        sparse_rate=float(sparse_rate),
        seed=int(seed) if patterns is None else None,
        blocks=None if layers is None else tuple(sorted(set(layers))),
        adapted=adapted,
        train=prefixes,
        freeze=tuple(freeze),
    )
    state.active = name
    if not state.hooks:
        follow(model, state)
    cast(Any, model)._frod = state
    use(model)
    return given


def _check_arguments(basis: Basis, name: str, layers: Sequence[int] | None) -> None:
    check_is_basis(basis)
    if not isinstance(name, str) or not name or "." in name or hasattr(nn.ModuleDict(), name):
        raise ValueError(f"name={name!r} cannot name an adapter: take letters and digits, such as 'first'.")
    if layers is not None and not isinstance(layers, Sequence):
        raise ValueError(f"layers={layers!r} must be a list of blocks, such as layers=[{layers}].")


def _check_freeze(freeze: Sequence[str], sparse_rate: float, patterns: Mapping[str, Places] | None) -> None:
    if isinstance(freeze, str) or not set(freeze) <= set(GROUPS):
        raise ValueError(f"freeze={freeze!r} must be a list of {' or '.join(map(repr, GROUPS))}.")
    if set(freeze) == set(GROUPS) or ("scale" in freeze and sparse_rate == 0 and patterns is None):
        raise ValueError(
            f"freeze={list(freeze)}, sparse_rate={sparse_rate:g}: nothing of the adapter is left to train."
        )
    if "rotation" in freeze and patterns is not None:
        raise ValueError(f"freeze={list(freeze)}: S that is frozen has no places; leave patterns out.")


def _check_adapter(model: nn.Module, state: AdapterState, basis: Basis, name: str) -> dict[str, str]:
    """Names of the target layers of a model that has adapters, if another one on this basis can be added."""
    if name in state.adapters:
        raise ValueError(
            f"the model has a FRoD adapter already, name={name!r}; merge it, start from a fresh model, or give the new "
            "one another name."
        )
    digest = get_adapter(model).basis_digest
    if basis.digest() != digest:
        raise ValueError(
            f"the model's adapters are on the basis {digest}, this one is {basis.digest()}: adapters of one model "
            "share a basis."
        )
    return state.layers


def _in_blocks(names: dict[str, str], layers: Sequence[int] | None, basis: Basis) -> dict[str, str]:
    """The layers in the blocks asked for."""
    if layers is None:
        return names
    blocks = block_indices({c: (m, n) for part in basis.categories.values() for c, (m, n, _) in part.layers.items()})
    index = {name: blocks[canonical] for name, canonical in names.items()}
    known = sorted({i for i in index.values() if i is not None})
    wrong = sorted(set(layers) - set(known))
    if wrong or not layers:
        raise ValueError(f"layers={list(layers)} must name some of the blocks with target layers, which are {known}.")
    return {n: canonical for n, canonical in names.items() if index[n] in set(layers)}


def _matching_layers(model: nn.Module, basis: Basis) -> dict[str, str]:
    """Names of the target layers -> canonical names, after checking that they are those of the basis."""
    found = {name: layer for layers in find(model, basis.targets).values() for name, layer in layers.items()}
    there = {name: size for category in basis.categories.values() for name, size in category.layers.items()}
    if len(found) > len(there):  # the basis has none of those that are zero; the others are looked at for nothing
        found = without_zeros(found)
    names = canonical_names(found)
    here = {names[name]: describe(layer) for name, layer in found.items()}
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


def _check_plan(model: nn.Module, plan: Plan, adapted: Iterable[str]) -> None:
    if plan in ("auto", "input_side"):
        return
    for name in adapted:
        if is_quantised(get(model, name)):
            raise ValueError(
                f"plan={plan!r} needs the weight itself, and layer {name!r} is quantised; take plan='auto' or "
                "'input_side'."
            )


def _attach_category(
    model: nn.Module,
    name: str,
    category: CategoryBasis,
    real: dict[str, str],
    adapter: str,
    places: Places,
    plan: Plan,
) -> None:
    held = [layer for layer in all_layers(model) if layer.category == name]
    shared = {(layer.shared.Vt.device, layer.shared.Vt.dtype): layer.shared for layer in held}
    patterns: dict[torch.device, SparsePattern] = {}
    condition = category.facts.get("condition_number", 1.0)
    # A basis that came from peft asks for solving: there, columns of U that are only noise are trained on, too.
    for module_name, canonical in real.items():
        layer = get(model, module_name)
        if not isinstance(layer, FrodLinear):
            weight = cast(Tensor, layer.weight)
            dtype = torch.promote_types(weight.dtype, torch.float32) if weight.is_floating_point() else torch.float32
            place = (weight.device, dtype)
            if place not in shared:
                shared[place] = _shared_basis(category, weight.device, dtype)
            layer = FrodLinear(
                layer,
                shared[place],
                category=name,
                lambda_0=category.lambda_0[canonical],
                plan=plan,
                solve=category.facts.get("solve", False) or condition * torch.finfo(dtype).eps > INVERSE_SERVES[dtype],
            )
            install(model, module_name, layer)
        device = layer.lambda_0.device
        if device not in patterns:
            patterns[device] = SparsePattern(category.n, *places).to(device)
        layer.add_adapter(adapter, patterns[device])


def _take_back(model: nn.Module, state: AdapterState, name: str) -> None:
    """Leave the model as it was before an adapter that some of its layers have got."""
    if state.active:
        remove_adapter(model, name)
        restore_heads(model, state, state.active)
        use(model)
    else:
        for layer in state.layers:
            remove(model, layer)


def _shared_basis(category: CategoryBasis, device: torch.device, dtype: torch.dtype) -> SharedBasis:
    V, V_inv_t = category.V.to(device, dtype), category.V_inv_t.to(device, dtype)
    if dtype == torch.float64:
        V_inv_t = torch.linalg.inv(V).T  # the stored one is rounded to float32
    return SharedBasis(V, V_inv_t)
