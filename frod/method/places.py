"""The places of S for every category of a basis: drawn from a seed, or given."""

from collections.abc import Mapping

import torch
from torch import Tensor

from frod.method.basis import Basis
from frod.method.pattern import draw

Places = tuple[Tensor, Tensor]


def draw_places(basis: Basis, sparse_rate: float, seed: int) -> dict[str, Places]:
    """The places of S per category that follow from a seed."""
    drawn = {name: draw(name, category.n, sparse_rate, seed) for name, category in basis.categories.items()}
    return {name: (torch.from_numpy(rows), torch.from_numpy(columns)) for name, (rows, columns) in drawn.items()}


def check_places(basis: Basis, patterns: Mapping[str, Places]) -> Mapping[str, Places]:
    """Return patterns given from outside if they are places of S of this basis; else a ValueError."""
    if patterns.keys() != basis.categories.keys():
        raise ValueError(
            f"patterns are of {sorted(patterns)}, the basis has the categories {sorted(basis.categories)}."
        )
    for name, (rows, columns) in patterns.items():
        n = basis.categories[name].n
        inside = all(len(t) == 0 or 0 <= int(t.min()) <= int(t.max()) < n for t in (rows, columns))
        if not inside or rows.shape != columns.shape or (rows == columns).any():
            raise ValueError(f"patterns[{name!r}] must be two lists of indices below {n} that nowhere agree.")
        if torch.unique(rows * n + columns).numel() != rows.numel():
            raise ValueError(f"patterns[{name!r}] names a place twice.")
    return patterns
