"""How an adapted layer is computed: the same function in three ways, chosen by what each costs.

Multiply-adds of one optimiser step (forward and backward, the frozen layer's own 2 T m n included) for T tokens in all,
an (m, n) weight and p = n + k places of diag + S:

* materialised: W' = W + U (diag + S) V^T is formed, then used as any weight; its gradient is projected. 3 T m n, and
  once a step 2 m n^2 + 2 p min(m, n).
* factored: x V, its sparse product, and U beside the base product: 2 T m n + 2 T (n^2 + n m) + 3 T p.
* input_side: the frozen layer is given x + V^-T diag(1/lambda_0) (diag + S) V^T x: 2 T m n + 4 T n^2 + 3 T p. It needs
  neither U nor the weight itself, so it is the one for quantised layers, and the cheapest for tall ones (m > n).

Full fine-tuning takes 3 T m n. Source: the identities U = W V^-T diag(1/lambda_0) and W' = W (I + V^-T diag(1/lambda_0)
(diag + S) V^T), which follow from the definition.
"""

from typing import Literal

Way = Literal["materialised", "factored", "input_side"]
Plan = Literal["auto", "materialised", "factored", "input_side"]
WAYS: tuple[Way, ...] = ("materialised", "factored", "input_side")
PLANS: tuple[Plan, ...] = ("auto", *WAYS)

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


def multiply_adds(way: Way, *, T: int, m: int, n: int, k: int) -> tuple[int, int]:
    """Dense and sparse multiply-adds of one optimiser step over T tokens (of all its micro-batches)."""
    p = n + k
    if way == "materialised":
        return 3 * T * m * n + 2 * m * n * n, 2 * p * min(m, n)
    if way == "factored":
        return 2 * T * m * n + 2 * T * (n * n + n * m), 3 * T * p
    return 2 * T * m * n + 4 * T * n * n, 3 * T * p


def full_fine_tuning(*, T: int, m: int, n: int) -> int:
    """Multiply-adds of the same layer when its weight itself is trained."""
    return 3 * T * m * n


def cost(way: Way, *, T: int, m: int, n: int, k: int, device: str = "cpu", itemsize: int = 4) -> int:
    """What the planner compares: multiply-adds, the sparse ones at their price on the device."""
    dense, sparse = multiply_adds(way, T=T, m=m, n=n, k=k)
    return dense + SPARSE_COST.get((device, itemsize), 12) * sparse


def choose(plan: Plan, *, T: int, m: int, n: int, k: int, device: str = "cpu", itemsize: int = 4) -> Way:
    """Pick the cheapest way to compute a training step, unless one was asked for.

    It depends on shapes, dtype and kind of device only, so a run computes the same way wherever it is repeated.

    Parameters
    ----------
    T : int
        Tokens of one optimiser step: of all its micro-batches.
    m, n, k : int
        out_features, in_features, entries of S.
    device : str
        Kind: "cpu", "cuda".
    itemsize : int
        Bytes of a number in the dense products: 2 for bfloat16.
    """
    if plan != "auto":
        return plan
    # Of equals, the last: it takes the least memory.
    return min(reversed(WAYS), key=lambda way: cost(way, T=T, m=m, n=n, k=k, device=device, itemsize=itemsize))
