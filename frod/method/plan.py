"""How an adapted layer is computed: the same function in two ways, chosen by what each costs.

Multiply-adds of one training step beyond those of the frozen layer, for T tokens, an (m, n) weight and k entries in S:

* materialised: W' = W + U (diag + S) V^T is formed, then used as any weight. The gradient of W' costs T n m, the two
  products with the basis m n^2 each, the sparse ones k min(m, n) each. Independent of T but for the first.
* factored: x V, its sparse product, and U beside the base product, forward and backward: 2 T (n^2 + n m) + 3 T k.

Shapes: T tokens, m out_features, n in_features, k entries of S.
"""

from typing import Literal

Plan = Literal["auto", "materialised", "factored"]
PLANS: tuple[Plan, ...] = ("auto", "materialised", "factored")

# A multiply-add through a sparse matrix costs about this many dense ones (two CPU cores, float32: 7 to 20).
SPARSE_COST = 12


def check(plan: str) -> Plan:
    """Return the plan if there is one of that name."""
    for known in PLANS:
        if plan == known:
            return known
    raise ValueError(f"plan={plan!r} is none of {', '.join(PLANS)}.")


def materialised_cost(T: int, m: int, n: int, k: int) -> int:
    """Multiply-adds of a training step beyond the frozen layer's, when W' is formed."""
    return T * m * n + 2 * m * n * n + 2 * SPARSE_COST * k * min(m, n)


def factored_cost(T: int, m: int, n: int, k: int) -> int:
    """Multiply-adds of a training step beyond the frozen layer's, when W' is never formed."""
    return 2 * T * (n * n + n * m) + 3 * SPARSE_COST * T * k


def choose(plan: Plan, *, T: int, m: int, n: int, k: int) -> Literal["materialised", "factored"]:
    """Pick the cheaper plan for a training step, unless one was asked for.

    It depends on shapes only, so a run computes the same way wherever it is repeated.
    """
    if plan != "auto":
        return plan
    return "materialised" if materialised_cost(T, m, n, k) <= factored_cost(T, m, n, k) else "factored"
