"""The floor of a configuration: the least multiply-adds of a FRoD step over those of full fine-tuning.

Counted over the target layers alone, every product at the same price, the cheapest plan for each layer. What a step
takes besides (attention, normalisation, embeddings, AdamW) is in the measured ratio and not in the floor, so the two
may fall on either side of each other: full fine-tuning's AdamW, for one, has many times the parameters to go through.
"""

from collections.abc import Iterable

from torch import nn


def floor(shapes: Iterable[tuple[int, int]], *, tokens: int, sparse_rate: float) -> float:
    """Multiply-adds of the best plan over those of full fine-tuning.

    Parameters
    ----------
    shapes : iterable of (m, n)
        Of every target layer.
    tokens : int
        Of one optimiser step, over all its micro-batches.
    sparse_rate : float
    """
    from frod.method import plan

    best = full = 0
    for m, n in shapes:
        k = int(sparse_rate * n * n)
        best += min(sum(plan.multiply_adds(way, T=tokens, m=m, n=n, k=k)) for way in plan.WAYS)
        full += plan.full_fine_tuning(T=tokens, m=m, n=n)
    return best / full


def shapes_of(model: nn.Module, targets: tuple[str, ...]) -> list[tuple[int, int]]:
    """(m, n) of every target layer of a plain model."""
    from frod.method.identity import describe
    from frod.method.targets import find

    return [describe(layer)[:2] for layers in find(model, targets).values() for layer in layers.values()]
