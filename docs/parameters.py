"""Writes docs/parameters.md: what FRoD trains at the released settings, in closed form from the models' shapes.

A target matrix of n inputs has n scaling factors and int(rate n^2) entries of the rotation. Legend: h hidden size, i
intermediate size. Run it as `python docs/parameters.py`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from frod.backbones import registry as backbones
from frod.method import pattern
from frod.method.shares import in_words, shares
from frod.tasks import registry as tasks

PAGE = Path(__file__).with_suffix(".md")
PAPER, BENCHMARKS = 1.72, 20


class Shape(NamedTuple):
    """Base parameters, inputs of each target matrix, and the head's parameters: fixed ones and those per output."""

    base: int
    widths: list[int]
    head: int
    per_output: int


def block(h: int, i: int) -> int:
    """A transformer's block: six linear layers with biases, and two layer norms."""
    return 4 * (h * h + h) + (h * i + i) + (i * h + h) + 2 * 2 * h


def clip(config: Mapping[str, Any]) -> Shape:
    """CLIP's vision tower: q, k, v, out, fc1, fc2 are targets; the head is linear, with a bias."""
    of = config["vision_config"]
    h, i, blocks, patch = of["hidden_size"], of["intermediate_size"], of["num_hidden_layers"], of["patch_size"]
    positions = (of["image_size"] // patch) ** 2 + 1  # patches and the class token
    embeddings = 3 * patch**2 * h + h + positions * h
    return Shape(embeddings + blocks * block(h, i) + 2 * 2 * h, blocks * [h, h, h, h, h, i], 0, h + 1)


def roberta(config: Mapping[str, Any]) -> Shape:
    """RoBERTa without a pooler: the six linear layers of a block are targets; the head is two linear layers."""
    h, i, blocks = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    rows = config["vocab_size"] + config["max_position_embeddings"] + config["type_vocab_size"]
    return Shape(rows * h + 2 * h + blocks * block(h, i), blocks * [h, h, h, h, h, i], h * h + h, h + 1)


def llama(config: Mapping[str, Any]) -> Shape:
    """Llama without its language head and without biases: q, k, v, o, gate, up are targets, down is not."""
    h, i, blocks = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    return Shape(config["vocab_size"] * h + blocks * (4 * h * h + 3 * h * i + 2 * h) + h, blocks * [h] * 6, 0, h)


class Family(NamedTuple):
    """One of the paper's three kinds of benchmarks, with the model that the authors' scripts fine-tune on it."""

    backbone: str
    shape: Callable[[Mapping[str, Any]], Shape]
    rate: float
    """The released sparse rate."""
    tasks: str
    """All that the scripts support."""


FAMILIES = {
    "vision": Family("clip_vit_b32", clip, 0.01, "stanford_cars dtd eurosat gtsrb mnist resisc45 sun397 svhn"),
    "GLUE": Family("roberta_large", roberta, 0.02, "cola sst2 mrpc qqp stsb mnli qnli rte"),
    "commonsense": Family(
        "llama2_7b", llama, 0.02, "boolq piqa siqa hellaswag winogrande arc_easy arc_challenge openbookqa"
    ),
}
Counts = dict[str, dict[str, dict[str, int]]]


def counts() -> Counts:
    """Numbers of parameters (adapter, head, base) by family and task."""
    known, described = backbones.load(), tasks.load()
    found: Counts = {}
    for name, family in FAMILIES.items():
        architecture = known[family.backbone].built_as
        assert architecture is not None, f"{family.backbone} has an architecture in the registry"
        shape = family.shape(architecture.arguments)
        adapter = sum(n + pattern.entries(n, family.rate) for n in shape.widths)
        found[name] = {
            task: {"adapter": adapter, "base": shape.base}
            | {"head": shape.head + shape.per_output * described[task].num_classes}
            for task in family.tasks.split()
        }
    return found


def means(found: Counts, convention: str) -> dict[tuple[int, ...], list[float]]:
    """Mean share in per cent over every choice of 20 tasks, by how many of each family are among them."""
    each = [(name, 100 * shares(**of)[convention]) for name, family in found.items() for of in family.values()]
    every, by_mix = sum(share for _, share in each), {}
    for left in itertools.combinations(each, len(each) - BENCHMARKS):
        out = Counter(name for name, _ in left)
        mix = tuple(len(family) - out[name] for name, family in found.items())
        by_mix.setdefault(mix, []).append((every - sum(share for _, share in left)) / BENCHMARKS)
    return by_mix


def span(values: list[Any], form: str) -> str:
    """From the smallest to the largest."""
    return " to ".join(dict.fromkeys(form.format(value) for value in (min(values), max(values))))


def is_papers(share: float) -> bool:
    """Whether a share in per cent rounds to the paper's."""
    return round(share, 2) == PAPER


def page() -> str:
    """The text of docs/parameters.md."""
    found = counts()
    every = {task: of for family in found.values() for task, of in family.items()}
    conventions = list(shares(**every["mnist"]))
    alone = [t for t, of in every.items() if any(is_papers(100 * share) for share in shares(**of).values())]
    assert not alone, f"{alone} give the paper's figure: say so on the page"
    released = [
        [name, f"`{FAMILIES[name].backbone}`", f"{FAMILIES[name].rate:g}"]
        + [span([of[part] for of in family.values()], "{:,}") for part in ("adapter", "head", "base")]
        for name, family in found.items()
    ]
    by_family = [
        [in_words(convention)]
        + [span([100 * shares(**of)[convention] for of in family.values()], "{:.3f}") for family in found.values()]
        for convention in conventions
    ]
    mixed = []
    for convention in conventions:
        by_mix = means(found, convention)
        values = [mean for of in by_mix.values() for mean in of]
        hits = {mix: sum(map(is_papers, of)) for mix, of in by_mix.items()}
        where = "; ".join(f"{count} with {' + '.join(map(str, mix))}" for mix, count in hits.items() if count)
        mixed.append([in_words(convention), span(values, "{:.4f}"), f"{sum(hits.values())}", where])
    cars = every["stanford_cars"]
    return TEXT.format(
        paper=PAPER,
        benchmarks=BENCHMARKS,
        all=len(every),
        ways=f"{len(values):,}",
        families=" + ".join(found),
        cars=f"{cars['adapter'] + cars['head']:,}",
        released=table(["benchmarks", "model", "rate", "adapter", "head", "base"], released),
        by_family=table(["convention", *found], by_family),
        mixed=table(["convention", "mean share", f"ways that give {PAPER}", "of which"], mixed),
    )


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))


TEXT = """\
# FRoD's share of trained parameters

The abstract says that FRoD trains {paper} % of the parameters over {benchmarks} benchmarks. It does not say how they
are counted, nor which {benchmarks} of the {all} benchmarks that the authors' scripts support are meant, so that it
cannot be tested. `python docs/parameters.py` computes this page from the shapes of the models; nothing is trained for
it.

## At the released settings

*Adapter* is what trains outside the head, *base* the frozen model without its head. A target matrix of n inputs has n
scaling factors and int(rate n²) entries of the rotation. Where tasks differ in their number of classes: from, to.

{released}

In per cent, by every convention in use (*all* is base, adapter and head; peft prints (adapter + head) / all, the
released scripts count the head twice, as it was and as it is trained):

{by_family}

No benchmark by itself gives {paper} % by any convention. On Stanford Cars, adapter and head together have {cars}
parameters.

## Over {benchmarks} benchmarks

There are {ways} ways to choose {benchmarks} of the {all} benchmarks. The mean share in per cent, each benchmark
counting alike, from the smallest to the largest, and in how many ways it rounds to {paper} ({families}):

{mixed}

Each of these agreements may be chance.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
