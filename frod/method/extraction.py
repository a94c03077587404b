"""Extract the basis of a model: category by category, one weight in memory at a time."""

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from frod.method import alternatives, decomposition
from frod.method.alternatives import BasisKind, Decompose
from frod.method.basis import EIGENVECTOR_BOUND, Basis, CategoryBasis, without_autocast
from frod.method.identity import describe, is_zero, weight_of, weights_hash
from frod.method.shards import Stored, bind
from frod.method.side_by_side import showing, side_by_side
from frod.method.targets import Target, Targets, canonical_names, find, in_features, out_features, resolve

# lambda_0 below this share of the layer's largest is what rounding V to float32 leaks into unused columns.
STORED_CUTOFF = 1e-6

# Up to this condition number (in the 1-norm) lambda_0 has five digits when computed in float32.
SINGLE_SERVES = 1e4

DTYPES = {torch.float64: "float64", torch.float32: "float32"}

Source = Target | Stored


def extract_basis(
    model: nn.Module,
    targets: Targets = None,
    *,
    kind: BasisKind = "shared",
    ridge: float | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    part: tuple[int, int] | None = None,
    threads: int | None = None,
) -> Basis:
    """Decompose the target weights of a model, category by category.

    A layer whose weight is all zeros is left out, with a warning: there is no U through which an adapter could change
    it. A warning says where no category has more than one layer: then nothing is shared. Peak memory is a category's
    largest weight in float64 and about six n x n matrices, for each category that is decomposed at a time.

    Parameters
    ----------
    model : nn.Module
        The pretrained model; it is only read.
    targets : list of str, str, or None
        Which layers: see `frod.method.targets.find`.
    kind : {"shared", "layer_svd", "random"}
        "shared" is FRoD's; the others are there to compare it with. "layer_svd" has a V for each layer, its right
        singular vectors (lambda_0 are the singular values), and each layer is a category, with places of S of its own.
        "random" has an orthogonal V for each category, drawn by its name and width. U follows from W and V in each.
    ridge : float, optional
        pi in T = mean_i (Q_i^T Q_i + pi I)^-1, of kind "shared"; by default 1e-3.
    dtype : torch.dtype
        Of kind "shared": of T and its eigenvectors, float64, or float32, which takes about half the time. With float32,
        V may differ from float64's by a rotation among directions whose eigenvalues nearly agree;
        W_i = U_i diag(lambda_i) V^T holds to the same digits. Where the backward error exceeds `EIGENVECTOR_BOUND`, the
        category is computed in float64.
    device : torch.device, optional
        Where to compute; by default where each weight is.
    progress : bool
        Show a bar and a line per category on standard error.
    checkpoint : path-like, optional
        Folder with the model's safetensors files. The weights are then read from there, one at a time, and `model` may
        be on the meta device; they are cast to its dtypes.
    part : (int, int), optional
        (i, k): extract the i-th of k parts, which take about the same time; `Basis.join` puts them together.
    threads : int, optional
        Categories decomposed side by side on the CPU, by default as many as torch has threads. Each is computed on one
        thread, so that the basis does not depend on their number. On a GPU it is one after the other.

    Raises
    ------
    ValueError
        For a ridge of another kind than "shared", targets that match nothing or cannot be adapted, weights on the meta
        device, with NaN in them, or all zeros.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype} is too coarse to decompose in; use torch.float64 or torch.float32.")
    kind, ridge = alternatives.check(kind, ridge)
    if getattr(model, "_frod", None) is not None:
        raise ValueError("the model has a FRoD adapter; its basis is that of the model before it was attached.")
    found = find(model, targets)
    targets_by_name = {name: target for layers in found.values() for name, target in layers.items()}
    sources: dict[str, Source] = dict(bind(targets_by_name, checkpoint)) if checkpoint else dict(targets_by_name)
    sources = _without_zeros(sources)
    found = {category: {n: t for n, t in layers.items() if n in sources} for category, layers in found.items()}
    found = {category: layers for category, layers in found.items() if layers}
    names = canonical_names(sources)
    if kind == "layer_svd":
        found = {names[name]: {name: target} for layers in found.values() for name, target in layers.items()}
    else:
        _warn_of_unshared(found)
    chosen = list(found) if part is None else _dealt(found, *part)
    with torch.no_grad(), without_autocast(), showing(progress, len(chosen)) as report:

        def extract(category: str) -> CategoryBasis:
            layers = {names[name]: (target, sources[name]) for name, target in found[category].items()}
            decompose = alternatives.decomposition_of(kind, category, ridge)
            with report(f"{category}, {len(layers)} layers"):
                return _extract_category(layers, decompose, dtype=dtype, device=device)

        on_cpu = all(_device(source, device).type == "cpu" for source in sources.values())
        count = (threads or torch.get_num_threads()) if on_cpu else 1
        dearest_first = sorted(chosen, key=lambda category: -_cost(found[category]))
        result = side_by_side(extract, dearest_first if count > 1 else chosen, count)
        basis = Basis(
            categories={category: result[category] for category in chosen},
            model_hash=weights_hash({names[name]: source for name, source in sources.items()}),
            targets=resolve(model, targets),
            kind=kind,
            ridge=ridge,
            part_of=None if part is None else tuple(found),
        )
    basis.check()
    if progress and basis.degenerate:
        said = f"any rotation would be a basis of {', '.join(basis.degenerate)}: singular vectors are taken"
        print(said, file=sys.stderr)
    return basis


def extract_categories(
    categories: Mapping[str, Mapping[str, Target]], *, ridge: float, progress: bool = True
) -> dict[str, CategoryBasis]:
    """The bases of layers that are grouped already, by name of the category and of the layer; in float64, on the CPU.

    Each category is computed on one thread, so that the result does not depend on their number.
    """
    decompose = partial(decomposition.shared_basis, ridge=ridge)
    with torch.no_grad(), without_autocast(), showing(progress, len(categories)) as report:

        def extract(category: str) -> CategoryBasis:
            layers: dict[str, tuple[Target, Source]] = {n: (each, each) for n, each in categories[category].items()}
            with report(f"{category}, {len(layers)} layers"):
                return _extract_category(layers, decompose, dtype=torch.float64, device="cpu")

        dearest_first = sorted(categories, key=lambda category: -_cost(dict(categories[category])))
        found = side_by_side(extract, dearest_first, torch.get_num_threads())
    for name, category in found.items():
        category.check(name)
    return found


def _without_zeros(sources: dict[str, Source]) -> dict[str, Source]:
    for name, source in sources.items():
        if not isinstance(source, Stored) and cast(Tensor, source.weight).is_meta:
            raise ValueError(
                f"{name!r} is on the meta device and has no weights to decompose; load them first, or name the folder "
                "of their safetensors files: checkpoint=..."
            )
    zero = [name for name, source in sources.items() if is_zero(source)]
    if len(zero) == len(sources):
        raise ValueError(
            f"all target layers, {zero[0]!r} for one, have weights of zeros: there is nothing to decompose."
        )
    if zero:
        warnings.warn(
            f"{len(zero)} of {len(sources)} target layers have weights of zeros, through which an adapter could change "
            f"nothing, and are left out: {', '.join(zero[:8])}{', ...' if len(zero) > 8 else ''}. To train them, name "
            "them in train=[...] of attach.",
            stacklevel=3,
        )
    return {name: source for name, source in sources.items() if name not in zero}


def _warn_of_unshared(found: dict[str, dict[str, Target]]) -> None:
    if all(len(layers) == 1 for layers in found.values()):
        one = next(iter(found))
        warnings.warn(
            f"none of the {len(found)} categories ({one!r} for one) has more than one layer: no basis is shared. "
            "Blocks are told by an index in their names, and have to hold layers of the same names and shapes.",
            stacklevel=3,
        )


def _dealt(found: dict[str, dict[str, Target]], i: int, k: int) -> list[str]:
    """Categories of the i-th of k parts: the dearest first, each to the part that has least to do."""
    if not 0 <= i < k:
        raise ValueError(f"part=({i}, {k}) must be (i, k) with 0 <= i < k.")
    cost = {name: _cost(layers) for name, layers in found.items()}
    load, owner = [0] * k, {}
    for name in sorted(cost, key=lambda name: -cost[name]):
        owner[name] = load.index(min(load))
        load[owner[name]] += cost[name]
    return [name for name in found if owner[name] == i]


def _cost(layers: dict[str, Target]) -> int:
    return sum(out_features(layer) * in_features(layer) ** 2 for layer in layers.values())


def _device(source: Source, device: torch.device | str | None) -> torch.device:
    if device is None:
        return torch.device("cpu") if isinstance(source, Stored) else cast(Tensor, source.weight).device
    return torch.device(device)


def _extract_category(
    layers: dict[str, tuple[Target, Source]],
    decompose: Decompose,
    *,
    dtype: torch.dtype,
    device: torch.device | str | None,
) -> CategoryBasis:
    weights = {name: _reader(source, device) for name, (_, source) in layers.items()}
    shared = decompose(list(weights.values()), dtype=dtype)
    if not shared.error <= EIGENVECTOR_BOUND[DTYPES[dtype]] and dtype != torch.float64:
        return _extract_category(layers, decompose, dtype=torch.float64, device=device)
    V = shared.V.float().double()
    V_inv = torch.linalg.inv(V)
    condition = decomposition.condition_number(V, V_inv)
    # lambda_0 is kept in float32, so it is computed in it where V is well conditioned, in half the time.
    plain = shared.rank == V.shape[0] and condition < SINGLE_SERVES
    V_inv_t = V_inv.T.float() if plain else V_inv.T
    lost_of_all = _lost(V, V_inv, torch.ones_like(V[0]))
    lambda_0: dict[str, Tensor] = {}
    error = 0.0
    for name, weight in weights.items():
        W = weight()
        decomposition.check_finite(W)  # nobody has looked at it where V is drawn
        B = decomposition.coordinates(W, V, V_inv_t, refine=not plain)
        lengths = decomposition.lengths(B, cutoff=STORED_CUTOFF)
        lost = lost_of_all if lengths.all() else _lost(V, V_inv, lengths > 0)
        error = max(error, _reconstruction_error(W, lost))
        lambda_0[name] = lengths.to("cpu", torch.float32)
    return CategoryBasis(
        V=V.to("cpu", torch.float32).contiguous(),
        V_inv_t=V_inv.T.to("cpu", torch.float32).contiguous(),
        lambda_0=lambda_0,
        layers={name: describe(target) for name, (target, _) in layers.items()},
        facts={
            "dtype": DTYPES[dtype],
            "rank": shared.rank,
            "condition_number": condition,
            "largest_reconstruction_error": error,
            "eigenvector_error": shared.error,
            "degenerate": shared.degenerate,
        },
    )


def _lost(V: Tensor, V_inv: Tensor, used: Tensor) -> Tensor:
    """Random vectors z less V^-T diag(used) V^T z: what rounding, and columns that are not used, lose of them."""
    z = decomposition.probes(V.shape[0], V.device)
    return z - V_inv.T @ ((V.T @ z) * used[:, None])


def _reconstruction_error(W: Tensor, lost: Tensor) -> float:
    """Relative error of U diag(lambda_0) V^T in the Frobenius norm, estimated on random vectors."""
    W = W.to(torch.promote_types(W.dtype, torch.float32))
    size = W.norm().item() * math.sqrt(decomposition.PROBES)
    return (W @ lost.to(W.dtype)).norm().item() / size if size else 0.0


def _reader(source: Source, device: torch.device | str | None) -> Callable[[], Tensor]:
    def read() -> Tensor:
        W = weight_of(source)  # de-quantised at every call: those of a whole model would fill the memory
        return W if device is None else W.to(device)

    return read
