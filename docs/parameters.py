"""Writes docs/parameters.md: what FRoD trains at the released settings, by the shapes of the models.

No weight is read: the models are built on the meta device. Run it as `python docs/parameters.py`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import frod
from frod.backbones import architecture
from frod.backbones import registry as backbones
from frod.method.shares import in_words, shares
from frod.tasks import registry as tasks

PAGE = Path(__file__).with_suffix(".md")
PAPER, BENCHMARKS = 1.72, 20


class Family(NamedTuple):
    """One of the paper's three kinds of benchmarks, with the model that the authors' scripts fine-tune on it."""

    backbone: str
    head: str
    rate: float
    """The released sparse rate."""
    tasks: str
    """All that the scripts support."""


FAMILIES = {
    "vision": Family("clip_vit_b32", "classifier", 0.01, "stanford_cars dtd eurosat gtsrb mnist resisc45 sun397 svhn"),
    "GLUE": Family("roberta_large", "classifier", 0.02, "cola sst2 mrpc qqp stsb mnli qnli rte"),
    "commonsense": Family(
        "llama2_7b", "score", 0.02, "boolq piqa siqa hellaswag winogrande arc_easy arc_challenge openbookqa"
    ),
}
Counts = dict[str, dict[str, dict[str, int]]]


def counts() -> Counts:
    """Numbers of parameters (adapter, head, base) by family and task."""
    known, described = backbones.load(), tasks.load()
    found: Counts = {}
    for name, family in FAMILIES.items():
        model = architecture.build(known[family.backbone])
        of = frod.predict_parameters(model, sparse_rate=family.rate, train=[family.head])
        last = list(model.get_submodule(family.head).modules())[-1]
        per_output = last.in_features + (last.bias is not None)
        found[name] = {
            task: {part: int(of[part]) for part in ("adapter", "base")}
            | {"head": int(of["head"]) + per_output * (described[task].num_classes - last.out_features)}
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
