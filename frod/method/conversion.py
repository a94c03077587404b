"""Convert what an adapter trained from the basis it was trained on to another one of the same weights.

V is unique up to order and sign of its columns, where it is unique at all: extracted on another machine it comes out
otherwise. With V_2 = V P, P a permutation with signs, U_2 diag(lambda_2) = W V_2^-T = U diag(lambda) P, and so the
change U M V^T, M = diag(lambda - lambda_0) + S, is U_2 (P^T M P) V_2^T: M with rows and columns reordered and signed.
Columns that belong to nearly equal singular values come out turned into each other, and then P^T M P would be dense.

Shapes: n in_features, k entries of S.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from frod.method.basis import Basis, CategoryBasis, without_autocast
from frod.method.decomposition import probes
from frod.method.pattern import Places

# What converting may lose, as a share of what training changed. Rounding V to float32 costs 1e-6 or so.
LOST = 1e-4


@dataclass(frozen=True, kw_only=True)
class CategoryConversion:
    """From one category's basis to another's of the same layers, in float64.

    Attributes
    ----------
    slots, signs : Tensor of shape (n,)
        Which column of the new V each of the old one's is, and with which sign.
    turned : float
        The largest part of a new column that lies along another than its own.
    across : Tensor of shape (n, n)
        V^T V_2^-T: from coordinates of U_2 diag(lambda_2) to those of U diag(lambda).
    """

    slots: Tensor
    signs: Tensor
    turned: float
    across: Tensor

    @classmethod
    def between(cls, old: CategoryBasis, new: CategoryBasis) -> "CategoryConversion":
        """Match the columns: the likeliest first, then what is left over, in any order."""
        V, V_2 = old.V.double(), new.V.double()
        G = torch.linalg.solve(V, V_2)
        likeness, rows = G.abs().max(dim=0)
        slots = torch.full((old.n,), -1, device=G.device)
        for column in likeness.argsort(descending=True).tolist():
            if slots[rows[column]] < 0:
                slots[rows[column]] = column
        free = torch.ones(old.n, dtype=torch.bool, device=G.device)
        free[slots[slots >= 0]] = False
        slots[slots < 0] = free.nonzero().flatten()
        every = torch.arange(old.n, device=G.device)
        signs = torch.where(G[every, slots] < 0, -1.0, 1.0).double()
        own = torch.zeros_like(G)
        own[every, slots] = signs
        return cls(
            slots=slots,
            signs=signs,
            turned=(G - own).abs().max().item(),
            across=torch.linalg.solve(V_2, V).T,
        )


def convert(
    stored: Mapping[str, Tensor], places: Mapping[str, Places], old: Basis, new: Basis
) -> tuple[dict[str, Tensor], dict[str, Places], float]:
    """Convert lambda and S of all layers.

    `stored` is as on disk: ``adapter.LAYER.scale`` (n,) and ``adapter.LAYER.rotation`` (k,); others are passed on. Both
    are returned for the new basis, with the share of the change that is lost, of the worst layer. More than `LOST`, or
    bases of other weights, are a ValueError.
    """
    if old.model_hash != new.model_hash or {c: v.layers for c, v in old.categories.items()} != {
        c: v.layers for c, v in new.categories.items()
    }:
        raise ValueError(
            f"the adapter's basis is of the model {old.model_hash} and its layers, this basis of {new.model_hash}."
        )
    result, moved, lost = dict(stored), dict(places), 0.0
    with torch.no_grad(), without_autocast():
        for name, category in old.categories.items():
            layers = [layer for layer in category.layers if _parts(stored, layer)]
            if not layers:
                continue
            other, conversion = new.categories[name], CategoryConversion.between(category, new.categories[name])
            rows, columns = places[name]
            moved[name] = conversion.slots[rows], conversion.slots[columns]
            for layer in layers:
                scale, rotation = _started(stored, layer, category, places[name])
                change = scale.double() - category.lambda_0[layer].double()
                change_2 = torch.empty_like(change).index_copy_(0, conversion.slots, change)
                rotation_2 = rotation.double() * conversion.signs[rows] * conversion.signs[columns]
                lambda_0 = category.lambda_0[layer].double()[:, None]
                before = lambda_0 * _changed(category, layer, change, rotation, places[name])
                after = lambda_0 * (conversion.across @ _changed(other, layer, change_2, rotation_2, moved[name]))
                here = ((after - before).norm() / before.norm()).item() if before.any() else 0.0
                if not here <= LOST:
                    raise ValueError(
                        f"category {name!r}: this basis is not the adapter's up to order, sign and rounding of its "
                        f"columns, some of which are turned into each other (by {conversion.turned:.2g}): their "
                        f"singular values are too close. Of {layer!r} {here:.2g} of what was trained would be lost; "
                        "load it with its own basis."
                    )
                lost = max(lost, here)
                converted = {"scale": other.lambda_0[layer].double() + change_2, "rotation": rotation_2}
                for part in _parts(stored, layer):
                    key = f"adapter.{layer}.{part}"
                    result[key] = converted[part].to(stored[key].dtype)
    return result, moved, lost


def _parts(stored: Mapping[str, Tensor], layer: str) -> list[str]:
    """Of lambda and S of a layer, what was trained."""
    return [part for part in ("scale", "rotation") if f"adapter.{layer}.{part}" in stored]


def _started(
    stored: Mapping[str, Tensor], layer: str, category: CategoryBasis, places: Places
) -> tuple[Tensor, Tensor]:
    """Lambda and S of a layer, at their start where they were frozen."""
    lambda_0 = category.lambda_0[layer]
    start = {"scale": lambda_0, "rotation": lambda_0.new_zeros(places[0].numel())}
    scale, rotation = (stored.get(f"adapter.{layer}.{part}", value) for part, value in start.items())
    return scale, rotation


def _changed(category: CategoryBasis, layer: str, change: Tensor, rotation: Tensor, places: Places) -> Tensor:
    """diag(1/lambda_0) M V^T z for random vectors z: what training does to them, short of W V^-T; 1/0 is read as 0."""
    rows, columns = places
    y = category.V.double().T @ probes(category.n, category.V.device)
    result = change[:, None] * y
    result.index_add_(0, rows, rotation.double()[:, None] * y[columns])
    lambda_0 = category.lambda_0[layer].double()[:, None]
    return torch.where(lambda_0 > 0, result / lambda_0, 0)
