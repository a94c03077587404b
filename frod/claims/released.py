"""What FRoD trains at the released settings, in closed form from the models' shapes: no model is built for it.

A target matrix of n inputs has n scaling factors and int(rate n^2) entries of the rotation. Legend: h hidden size, i
intermediate size.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from frod.backbones import registry as backbones
from frod.method import pattern
from frod.tasks import registry as tasks


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of parameters."""

    adapter: int
    head: int
    base: int
    """The frozen model without its head."""

    def shares(self) -> dict[str, float]:
        """By every convention in which such shares are quoted."""
        a, h, b = self.adapter, self.head, self.base
        shares = (a / b, a / (b + a), (a + h) / b, (a + h) / (b + h), (a + h) / (b + a + h), (a + h) / (b + a + 2 * h))
        return dict(zip(CONVENTIONS, shares))


CONVENTIONS = (
    "adapter / base",
    "adapter / (base + adapter)",
    "(adapter + head) / base",
    "(adapter + head) / (base + head)",
    "(adapter + head) / all",
    "(adapter + head) / all, head twice",
)
"""The last is what the released scripts print: the head counts as it was and as it is trained."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One of the paper's three kinds of benchmarks, with the model that the authors' scripts fine-tune on it."""

    backbone: str
    title: str
    rate: float
    """The released sparse rate."""
    tasks: tuple[str, ...]
    """All that the scripts support."""


FAMILIES = (
    Family(
        backbone="clip_vit_b32",
        title="vision",
        rate=0.01,
        tasks=("stanford_cars", "dtd", "eurosat", "gtsrb", "mnist", "resisc45", "sun397", "svhn"),
    ),
    Family(
        backbone="roberta_large",
        title="GLUE",
        rate=0.02,
        tasks=("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte"),
    ),
    Family(
        backbone="llama2_7b",
        title="commonsense",
        rate=0.02,
        tasks=("boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"),
    ),
)


@cache
def counts() -> dict[str, dict[str, Counts]]:
    """By family's title and task."""
    known, described = backbones.load(), tasks.load()
    found = {}
    for family in FAMILIES:
        architecture = known[family.backbone].built_as
        assert architecture is not None, f"{family.backbone} has an architecture in the registry"
        base, widths, head = _SHAPES[architecture.name](architecture.arguments)
        adapter = sum(n + pattern.entries(n, family.rate) for n in widths)
        classes = {task: described[task].num_classes for task in family.tasks}
        found[family.title] = {
            task: Counts(adapter=adapter, head=head[0] + head[1] * outputs, base=base)
            for task, outputs in classes.items()
        }
    return found


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Some number of benchmarks of each family."""

    sizes: tuple[int, ...]
    ways: int
    """In which they can be chosen."""
    low: dict[str, float]
    high: dict[str, float]
    """Smallest and largest mean share over the ways, by convention."""
    hits: dict[str, int]
    """In how many ways the mean share rounds to the target, by convention."""


def mixes(total: int, target: float) -> list[Mix]:
    """All mixes of so many benchmarks, and the mean over each of FRoD's share.

    Parameters
    ----------
    target : float
        In per cent, with two digits after the point.
    """
    import numpy as np

    families = list(counts().values())
    # Axes: choice of so many of a family's tasks, convention.
    sums = [
        {
            k: np.array([np.sum(chosen, axis=0) for chosen in itertools.combinations(_shares(family), k)])
            if k
            else np.zeros((1, len(CONVENTIONS)))
            for k in range(len(family) + 1)
        }
        for family in families
    ]
    found = []
    for sizes in itertools.product(*(range(len(family), -1, -1) for family in families)):
        if sum(sizes) != total:
            continue
        each = [of[k] for of, k in zip(sums, sizes)]
        means = each[0]
        for more in each[1:]:
            means = (means[:, None] + more[None]).reshape(-1, len(CONVENTIONS))
        means = 100 * means / total
        hits = (np.round(means, 2) == target).sum(axis=0)
        found.append(
            Mix(
                sizes=sizes,
                ways=len(means),
                low=dict(zip(CONVENTIONS, means.min(axis=0).tolist())),
                high=dict(zip(CONVENTIONS, means.max(axis=0).tolist())),
                hits=dict(zip(CONVENTIONS, hits.tolist())),
            )
        )
    return found


def _shares(family: Mapping[str, Counts]) -> list[list[float]]:
    return [list(of.shares().values()) for of in family.values()]


def _norm(h: int) -> int:
    """Weight and bias of a layer norm."""
    return 2 * h


def _linear(n: int, m: int) -> int:
    """Weight and bias."""
    return n * m + m


Shape = tuple[int, list[int], tuple[int, int]]
"""Base parameters, inputs of each target matrix, and the head's parameters: fixed ones and those per output."""


def _clip(arguments: Mapping[str, Any]) -> Shape:
    """CLIP's vision tower: q, k, v, out, fc1, fc2 are targets; the head is linear, with a bias."""
    of = arguments["vision_config"]
    h, i, blocks, patch = of["hidden_size"], of["intermediate_size"], of["num_hidden_layers"], of["patch_size"]
    positions = (of["image_size"] // patch) ** 2 + 1  # patches and the class token
    embeddings = 3 * patch**2 * h + h + positions * h
    block = 4 * _linear(h, h) + _linear(h, i) + _linear(i, h) + 2 * _norm(h)
    return embeddings + blocks * block + 2 * _norm(h), blocks * [h, h, h, h, h, i], (0, h + 1)


def _roberta(arguments: Mapping[str, Any]) -> Shape:
    """RoBERTa without a pooler: the six linear layers of a block are targets; the head is two linear layers."""
    of = arguments
    h, i, blocks = of["hidden_size"], of["intermediate_size"], of["num_hidden_layers"]
    embeddings = (of["vocab_size"] + of["max_position_embeddings"] + of["type_vocab_size"]) * h + _norm(h)
    block = 4 * _linear(h, h) + _linear(h, i) + _linear(i, h) + 2 * _norm(h)
    return embeddings + blocks * block, blocks * [h, h, h, h, h, i], (_linear(h, h), h + 1)


def _llama(arguments: Mapping[str, Any]) -> Shape:
    """Llama without its language head and without biases: q, k, v, o, gate, up are targets, down is not."""
    of = arguments
    h, i, blocks = of["hidden_size"], of["intermediate_size"], of["num_hidden_layers"]
    block = 4 * h * h + 3 * h * i + 2 * h
    return of["vocab_size"] * h + blocks * block + h, blocks * [h] * 6, (0, h)


_SHAPES = {"clip": _clip, "roberta": _roberta, "llama": _llama}
