"""How an adapted layer is computed: one function, three strategies, chosen by what each costs.

Multiply-adds of one optimiser step (forward and backward, the frozen layer's own 2 T m n included) for T tokens in all,
an (m, n) weight and p = n + k places of diag + S:

* materialised: W' = W + U (diag + S) V^T is formed, then used as any weight; its gradient is projected. 3 T m n, and
  once a step 2 m n^2 + 2 p min(m, n).
* factored: x V, its sparse product, and U, added to the base product: 2 T m n + 2 T (n^2 + n m) + 3 T p.
* input_side: the frozen layer is given x + V^-T diag(1/lambda_0) (diag + S) V^T x: 2 T m n + 4 T n^2 + 3 T p. It needs
  neither U nor the weight itself, so it is the one for quantised layers, and the cheapest for tall ones (m > n).

Full fine-tuning takes 3 T m n. Source: the identities U = W V^-T diag(1/lambda_0) and W' = W (I + V^-T diag(1/lambda_0)
(diag + S) V^T), which follow from the definition.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from frod.method.alternatives import BasisKind
from frod.method.pattern import entries
from frod.method.targets import Targets, find, in_features, out_features

Strategy = Literal["materialised", "factored", "input_side"]
Plan = Literal["auto", "materialised", "factored", "input_side"]
STRATEGIES: tuple[Strategy, ...] = ("materialised", "factored", "input_side")
PLANS: tuple[Plan, ...] = ("auto", *STRATEGIES)

# A multiply-add through a sparse matrix costs about this many dense ones, by kind of device and bytes of a number in
# the dense products. Two CPU cores in float32: 7 to 20 were measured. The GPU's figures are estimates from memory
# traffic (a sparse one reads 4 bytes) against the peak rates of dense products.
SPARSE_COST = {("cpu", 2): 12, ("cpu", 4): 12, ("cpu", 8): 12, ("cuda", 2): 150, ("cuda", 4): 20, ("cuda", 8): 20}


def check(plan: str) -> Plan:
    """Return the plan if there is one of that name."""
    for known in PLANS:
        if plan == known:
            return known
    raise ValueError(f"plan={plan!r} is none of {', '.join(PLANS)}.")


def multiply_adds(strategy: Strategy, *, T: int, m: int, n: int, k: int) -> tuple[int, int]:
    """Dense and sparse multiply-adds of one optimiser step over T tokens (of all its micro-batches)."""
    p = n + k
    if strategy == "materialised":
        return 3 * T * m * n + 2 * m * n * n, 2 * p * min(m, n)
    if strategy == "factored":
        return 2 * T * m * n + 2 * T * (n * n + n * m), 3 * T * p
    return 2 * T * m * n + 4 * T * n * n, 3 * T * p


def cost(strategy: Strategy, *, T: int, m: int, n: int, k: int, device: str = "cpu", itemsize: int = 4) -> int:
    """What the planner compares: multiply-adds, the sparse ones at their price on the device."""
    dense, sparse = multiply_adds(strategy, T=T, m=m, n=n, k=k)
    return dense + SPARSE_COST.get((device, itemsize), 12) * sparse


def choose(
    plan: Plan,
    *,
    T: int,
    m: int,
    n: int,
    k: int,
    device: str = "cpu",
    itemsize: int = 4,
    strategies: tuple[Strategy, ...] = STRATEGIES,
) -> Strategy:
    """Pick the cheapest of the strategies that are accurate enough for a layer, unless one was asked for.

    It depends on shapes, dtype and kind of device only, so a run computes the same way wherever it is repeated.
    T is of one optimiser step (all its micro-batches), itemsize of the numbers in the dense products.
    """
    if plan != "auto":
        return plan
    # Of equals, the last: it takes the least memory.
    return min(
        reversed(strategies), key=lambda strategy: cost(strategy, T=T, m=m, n=n, k=k, device=device, itemsize=itemsize)
    )


@dataclass(frozen=True, kw_only=True)
class CategoryPlan:
    """How the layers of a category are computed, and at what cost; one row where they are of one shape.

    m, n and k are of each layer; multiply-adds are of one optimiser step over all of them: of this strategy, of the one
    with the fewest, of full fine-tuning. Bytes are those of V and V^-T, and of U and W' if the strategy needs them.
    """

    category: str
    layers: int
    m: int
    n: int
    k: int
    strategy: Strategy
    multiply_adds: int
    best: int
    full: int
    basis_bytes: int
    weight_bytes: int


def plan_model(
    model: nn.Module,
    targets: Targets = None,
    *,
    tokens: int,
    sparse_rate: float = 0.01,
    plan: Plan = "auto",
    device: str = "cpu",
    itemsize: int = 4,
    basis: BasisKind = "shared",
) -> list[CategoryPlan]:
    """Say for each category how `attach` would have its layers computed in training.

    The model is plain and may be on the meta device. Tokens are those of one optimiser step, of all its micro-batches;
    `itemsize` is the bytes of a number in the dense products (2 for bfloat16). The basis tells how often V is kept.
    """
    if tokens < 1:
        raise ValueError(f"tokens={tokens} must be at least 1: those of one optimiser step.")
    rows = []
    for category, layers in find(model, targets).items():
        shapes = [(out_features(layer), in_features(layer)) for layer in layers.values()]
        for m, n in dict.fromkeys(shapes):
            count, k = shapes.count((m, n)), entries(n, sparse_rate)
            strategy = choose(plan, T=tokens, m=m, n=n, k=k, device=device, itemsize=itemsize)
            adds = {each: sum(multiply_adds(each, T=tokens, m=m, n=n, k=k)) for each in STRATEGIES}
            kept = {"materialised": 2, "factored": 1, "input_side": 0}[strategy]
            rows.append(
                CategoryPlan(
                    category=category,
                    layers=count,
                    m=m,
                    n=n,
                    k=k,
                    strategy=strategy,
                    multiply_adds=count * adds[strategy],
                    best=count * min(adds.values()),
                    full=count * 3 * tokens * m * n,
                    basis_bytes=2 * n * n * 4 * (count if basis == "layer_svd" else 1),
                    weight_bytes=count * kept * m * n * itemsize,
                )
            )
    return rows


def floor(rows: list[CategoryPlan]) -> float:
    """Multiply-adds of the best plan over full fine-tuning's, in the target layers: no exact step has fewer."""
    return sum(row.best for row in rows) / sum(row.full for row in rows)
