"""What peft makes of the frozen weights, and what an adapter of ours is in those terms.

peft stores V but not U. When it loads a checkpoint it decomposes the base weights again, in float32 and on the CPU,
takes U_p from *that* V_p, and then reads the stored V over it. So U_p is given, W = U_p diag(lambda_p) V_p^T, and only
the stored V, the pattern of S, lambda and S can be chosen. With X = diag(1/lambda_0) (diag(lambda - lambda_0) + S), our
adapted layer's weight is, whatever the two V have to do with each other,

    W' = W + W V^-T X V^T = U_p diag(lambda_p) (I + G X H) V_stored^T,   G = V_p^T V^-T,   H = V^T V_stored^-T.

Where V and V_p are the same up to order and sign of the columns, G is a signed permutation, and G X H has the pattern
of S with its rows and columns permuted. Rounding turns nearly equal columns into each other, though (peft's float32),
and where the weights do not determine V (categories of one layer) the two have nothing in common: then further entries
are needed, up to all n (n - 1). The largest are taken until what is left out is small.

Shapes: m out_features, n in_features, k entries of S. All float64 on the CPU, as in peft, unless said otherwise.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from frod.method.identity import weight_of
from frod.method.linear import FrodLinear
from frod.method.targets import Target

# Share of a layer's W' (Frobenius norm) that may be left out by not writing small entries of S: the logits of models of
# 24 such layers came out right to 1e-5.
LEFT_OUT = 2e-5
# The share that is off in all, measured. More than LEFT_OUT, as that takes the columns of U and V for orthogonal, and
# as peft rounds U, V and lambda to float32.
OFF = 5e-5
# Columns of V that carry less than this share of every layer are null: see `PeftCategory.slots`.
NULL = 1e-6


def entries(n: int, sparse_rate: float) -> int:
    """How many entries of S peft makes: at least one, unless the rate is 0."""
    count = min(int(n * n * sparse_rate), n * (n - 1))
    return max(1, count) if sparse_rate > 0 and n > 1 else count


def factors(W: Tensor, V: Tensor, V_inv_t: Tensor) -> tuple[Tensor, Tensor]:
    """U (m, n) and lambda (n,) of a layer over a given V, in float32, as peft computes them.

    Columns of B = W V^-T that are only rounding noise are kept, at unit length in U: peft trains on them.
    """
    W = W.to("cpu", torch.float64)
    B = W @ V_inv_t
    B.addmm_(torch.addmm(W, B, V.T, alpha=-1), V_inv_t)  # what an explicit inverse loses against solving
    lambda_ = B.norm(dim=0)
    kept = lambda_ > 1e-12
    return torch.where(kept, B / lambda_, 0).float(), torch.where(kept, lambda_, 0).float()


def working_dtype(W: Tensor) -> torch.dtype:
    """What peft's numbers are in: the dtype of the weights, taken to be loaded in float32 at least."""
    return torch.promote_types(W.dtype, torch.float32)


def inverse_transposed(V: Tensor, category: str) -> Tensor:
    """V^-T, or an error that names the category."""
    try:
        return torch.linalg.inv(V).T.contiguous()
    except torch.linalg.LinAlgError:
        raise ValueError(
            f"category {category!r}: peft's V is singular, its layers' weights leave directions of the input unused. "
            "Merge the adapter and exchange the whole model instead."
        ) from None


@dataclass(kw_only=True, eq=False)
class PeftCategory:
    """One of peft's categories: frozen layers by name, as peft stacks them, and those of them that are adapted.

    V_p (n, n) is what peft computes from the frozen weights, as float64.
    """

    name: str
    targets: Mapping[str, Target]
    layers: Mapping[str, FrodLinear]
    V_p: Tensor

    def __post_init__(self) -> None:
        self.n = self.V_p.shape[0]
        self.V_p_inv_t = inverse_transposed(self.V_p, self.name)
        # Without an adapted layer in the category nothing has to be expressed, and any V will do.
        first = next(iter(self.layers.values()), None)
        self.V = self.V_p if first is None else first.shared.Vt.T.to("cpu", torch.float64)
        self.V_inv_t = inverse_transposed(self.V, self.name)
        self.G = self.V_p.T @ self.V_inv_t
        self.null = self._null()
        self.slots = self._slots()
        # A null column still matters: S may lead into it. It is arbitrary, so ours is stored in the place of peft's.
        self.V_stored, V_stored_inv_t = self.V_p, self.V_p_inv_t
        if self.null.any():
            self.V_stored = self.V_p.clone()
            self.V_stored[:, self.slots[self.null]] = self.V[:, self.null]
            V_stored_inv_t = inverse_transposed(self.V_stored, self.name)
        self.H = self.V.T @ V_stored_inv_t

    def _null(self) -> Tensor:
        """Which columns of our V no layer uses, and no layer trains on."""
        unused = torch.ones(self.n, dtype=torch.bool)
        for target in self.targets.values():
            lambda_ = (weight_of(target).to("cpu", torch.float64) @ self.V_inv_t).norm(dim=0)
            unused &= lambda_ <= NULL * lambda_.max()
        for layer in self.layers.values():
            unused &= (layer.lambda_0 == 0).cpu()
        return unused

    def _slots(self) -> Tensor:
        """Which column of V_p each of ours is: the likeliest first, then null columns in what places are left."""
        likeness = self.G.abs()
        likeness[:, self.null] = 0
        slots = torch.full((self.n,), -1)
        for j in likeness.max(dim=0).values.argsort(descending=True).tolist():
            slots[j] = likeness[:, j].argmax()
            likeness[slots[j]] = -1
        return slots

    def start(self, name: str) -> tuple[Tensor, Tensor]:
        """U_p (m, n) and lambda_p (n,) of a layer; lambda_p is 0 for null columns, whose V is not peft's own."""
        W = weight_of(self.targets[name])
        U, lambda_ = factors(W, self.V_p, self.V_p_inv_t)
        lambda_[self.slots[self.null]] = 0
        return U.to(working_dtype(W)).double(), lambda_.double()

    def change(self, name: str, lambda_p: Tensor) -> Tensor:
        """diag(lambda_p) G X H, (n, n): what has to be added to diag(lambda_p)."""
        if name not in self.layers:
            return torch.zeros_like(self.G)
        return lambda_p[:, None] * (self.G @ (self.X(name) @ self.H))

    def X(self, name: str) -> Tensor:
        """diag(1/lambda_0) (diag(lambda - lambda_0) + S), (n, n), sparse."""
        layer = self.layers[name]
        every = torch.arange(self.n)
        rows, columns = (places.cpu() for places in layer.pattern_places())
        scale, rotation = (t.detach().to("cpu", torch.float64) for t in (layer.scale, layer.rotation))
        lambda_0 = layer.lambda_0.to("cpu", torch.float64)
        places = torch.stack([torch.cat([rows, every]), torch.cat([columns, every])])
        inverse = torch.where(lambda_0 > 0, 1 / lambda_0, 0)
        values = torch.cat([rotation, scale - lambda_0]) * inverse[places[0]]
        return torch.sparse_coo_tensor(places, values, (self.n, self.n), check_invariants=False).coalesce()

    @cached_property
    def mapped(self) -> Tensor:
        """The places of our S in peft's order of columns, (2, k)."""
        first = next(iter(self.layers.values()), None)
        if first is None:
            return torch.empty(2, 0, dtype=torch.long)
        return self.slots[torch.stack(first.pattern_places()).cpu()]

    @cached_property
    def weight_of_places(self) -> Tensor:
        """Squared share of W' that each place of S makes up, at most among the layers, (n, n); -1 where it is taken."""
        result = torch.zeros(self.n, self.n, dtype=torch.float64)
        for name in self.layers:
            _, lambda_p = self.start(name)
            share = self.change(name, lambda_p) * self.V_stored.norm(dim=0) / weight_of(self.targets[name]).norm()
            torch.maximum(result, share.square(), out=result)
        result[self.mapped[0], self.mapped[1]] = -1
        return result.fill_diagonal_(-1)

    @cached_property
    def needed(self) -> int:
        """How many entries of S there have to be, for no more than `LEFT_OUT` to be missing."""
        ascending = self.weight_of_places.flatten().clamp(min=0).sort().values
        spare = int((ascending.cumsum(0) <= LEFT_OUT**2).sum())
        return self.mapped.shape[1] + self.n**2 - spare

    def left_out(self) -> float:
        """Share of W' that would be missing without further entries, at worst."""
        return math.sqrt(self.weight_of_places.clamp(min=0).sum().item())

    def places(self, sparse_rate: float) -> Tensor:
        """As many places as peft makes for the rate, (2, entries): ours, then the weightiest others."""
        more = entries(self.n, sparse_rate) - self.mapped.shape[1]
        found = self.weight_of_places.flatten().topk(more).indices
        return torch.cat([self.mapped, torch.stack([found // self.n, found % self.n])], dim=1)

    def layer(self, name: str, places: Tensor) -> tuple[Tensor, Tensor]:
        """lambda (n,) and the values of S (k,) of a layer, in peft's dtype, if peft rebuilds our weight from them."""
        W = weight_of(self.targets[name])
        U, lambda_p = self.start(name)
        change = self.change(name, lambda_p)
        lambda_ = (lambda_p + change.diagonal()).to(working_dtype(W))
        values = change[places[0], places[1]].to(lambda_.dtype)
        middle = torch.diag(lambda_.double())
        middle[places[0], places[1]] = values.double()
        expected = W.to("cpu", torch.float64)
        if name in self.layers:
            expected = expected + expected @ self.V_inv_t @ (self.X(name) @ self.V.T)
        error = ((U @ middle @ self.V_stored.T - expected).norm() / expected.norm()).item()
        if not error <= OFF:
            raise ValueError(
                f"category {self.name!r}: what peft would rebuild of {name!r} is off by {error:.2g} of its weight, "
                f"more than {OFF:g}. Merge the adapter (frod.merge) and exchange the whole model instead."
            )
        return lambda_, values


def common_rate(categories: list[PeftCategory], sparse_rate: float) -> float:
    """The smallest rate, from the adapter's own on, at which peft makes every category enough entries."""
    rate = max([sparse_rate, *(category.needed / category.n**2 for category in categories)])
    while any(entries(category.n, rate) < category.needed for category in categories):
        rate = math.nextafter(rate, 2)
    return min(rate, 1.0)


def decompose(targets: Mapping[str, Target], routine: Callable[[list[Tensor], float], Tensor], ridge: float) -> Tensor:
    """What peft's own routine makes of a category's frozen weights, rounded as peft rounds it; as float64."""
    matrices = [weight_of(target).to("cpu", torch.float32) for target in targets.values()]
    with torch.no_grad():
        V = routine(matrices, ridge)
    return V.to(working_dtype(weight_of(next(iter(targets.values()))))).double()


def describes(V: Tensor, weights: Mapping[str, Tensor], lambda_0: Mapping[str, Tensor]) -> float:
    """How far V is from being the basis of these weights: 0 up to rounding if it is.

    V V^T = R^T R = H = sum_i W_i^T W_i, and for wide categories V^T H V is diagonal, whatever order and signs the
    columns come in. peft records nothing else of the model that a checkpoint was trained on.
    """
    H = torch.zeros_like(V)
    for W in weights.values():
        H.addmm_(W.double().T, W.double())
    if sum(W.shape[0] for W in weights.values()) < V.shape[0]:
        inner = V.T @ H @ V
        return ((inner - torch.diag(inner.diagonal())).norm() / H.norm()).item()
    largest = torch.stack([values / values.max() for values in lambda_0.values()]).amax(dim=0)
    used = V[:, largest > NULL]
    return ((used @ used.T - H).norm() / H.norm()).item()


def tolerance(dtype: torch.dtype) -> float:
    """How far off `describes` may say a V is that was stored in this dtype."""
    return max(1e-4, 3 * torch.finfo(dtype).eps)
