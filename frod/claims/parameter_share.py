"""Claim: FRoD trains 1.72 % of the parameters. The abstract does not say how that is counted: every way is stated."""

from __future__ import annotations

from typing import Any

from frod.claims import released
from frod.claims.claim import cell, claim, figure, table, untestable
from frod.claims.evidence import SUBJECT, Evidence, name, run
from frod.claims.released import CONVENTIONS, Counts, Mix
from frod.claims.wording import fixed, grouped, per_cent

PAPER = 1.72
BENCHMARKS = 20
SAYS = f"On 20 benchmarks FRoD uses only {PAPER} % of the trainable parameters."
TEST = (
    "Parameters are counted by every convention in use, on the suite's models and, in closed form, at the released "
    f"settings; of these, the mean over every choice of {BENCHMARKS} of the 24 benchmarks that the authors' scripts "
    f"support is held against {PAPER}\u00a0%."
)
COUNT_NOTE = (
    "adapter: what trains in the layers that are adapted; base: the frozen model without its head; all: base, adapter "
    "and head; head twice: as the released scripts print it, the head counted as it was and as it is trained."
)


def parameter_share(evidence: Evidence) -> dict[str, Any]:
    """State FRoD's share of trained parameters by every convention, and what the paper's figure could be."""
    mixes = released.mixes(BENCHMARKS, PAPER)
    return claim(
        "parameter_share",
        title="1.72 % of the parameters",
        says=SAYS,
        test=TEST,
        verdict=untestable(_reason(mixes)),
        figures=_figures(evidence),
        tables=[*_suite(evidence), _released(), _mixes(mixes)],
    )


def _reason(mixes: list[Mix]) -> str:
    every = {task: of for family in released.counts().values() for task, of in family.items()}
    alone = [task for task, of in every.items() if any(round(100 * s, 2) == PAPER for s in of.shares().values())]
    ways = sum(mix.ways for mix in mixes)
    hits = {convention: sum(mix.hits[convention] for mix in mixes) for convention in CONVENTIONS}
    said = [f"{grouped(count)} give it as {convention}" for convention, count in hits.items() if count]
    cars = every["stanford_cars"]
    return (
        f"How it is counted, and which {BENCHMARKS} benchmarks it is the mean of, is not known to us. At the released "
        f"settings {', '.join(alone) or 'no benchmark'} by itself gives {PAPER}\u00a0% by any convention. Of the "
        f"{grouped(ways)} ways to take the mean over {BENCHMARKS} of the {len(every)} benchmarks, {'; '.join(said)}: "
        f"all 8 of vision, any 4 of GLUE and all 8 of commonsense ({fixed(_all_but_glue(mixes), 4)}\u00a0%); no other "
        f"convention gives it. On Stanford Cars, adapter and head together have {grouped(cars.adapter + cars.head)} "
        "parameters. Each may be chance."
    )


def _all_but_glue(mixes: list[Mix]) -> float:
    return next(mix.low[CONVENTIONS[0]] for mix in mixes if mix.sizes == (8, 4, 8))


def _figures(evidence: Evidence) -> list[dict[str, Any]]:
    figures = []
    for backbone, of in _by_backbone(evidence).items():
        shares = [100 * counts.shares()[CONVENTIONS[0]] for counts in of.values()]
        figures.append(figure(f"adapter / base on {backbone}", sum(shares) / len(shares), unit="%", n=len(shares)))
    return [*figures, figure("the paper's", PAPER, unit="%")]


def _by_backbone(evidence: Evidence) -> dict[str, dict[str, Counts]]:
    """FRoD's counts by backbone and task."""
    found: dict[str, dict[str, Counts]] = {}
    ours = evidence.summary[evidence.summary["method"] == SUBJECT].drop_duplicates(["task", "backbone"])
    for row in ours.to_dict("records"):
        adapter, head, base = (int(row[f"{part}_parameters"]) for part in ("adapter", "head", "base"))
        found.setdefault(row["backbone"], {})[row["task"]] = Counts(adapter=adapter, head=head, base=base)
    return found


def _suite(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for backbone, of in _by_backbone(evidence).items():
        for task, counts in of.items():
            where = run((task, backbone), SUBJECT)
            numbers = [
                cell(number, text=grouped(number), run=where) for number in (counts.adapter, counts.head, counts.base)
            ]
            shares = [cell(100 * share, text=per_cent(share, 3), run=where) for share in counts.shares().values()]
            rows.append([name((task, backbone)), *numbers, *shares])
    columns = ["task", "adapter", "head", "base", *CONVENTIONS]
    return [table("What FRoD trains in this suite", columns, rows, note=COUNT_NOTE)] if rows else []


def _released() -> dict[str, Any]:
    rows = []
    for family in released.FAMILIES:
        of = released.counts()[family.title]
        first = next(iter(of.values()))
        rows.append(
            [
                f"{family.title}: {family.backbone}, rate {family.rate:g}",
                cell(first.adapter, text=grouped(first.adapter)),
                _span([counts.head for counts in of.values()], "{:,}"),
                cell(first.base, text=grouped(first.base)),
                *(_span([100 * counts.shares()[c] for counts in of.values()], "{:.3f}\u00a0%") for c in CONVENTIONS),
            ]
        )
    columns = ["benchmarks and model", "adapter", "head", "base", *CONVENTIONS]
    note = (
        "Computed from the models' shapes, not trained here. Where tasks differ in their number of classes: from, to."
    )
    return table("At the released settings", columns, rows, note=note)


def _span(values: list[float], form: str) -> dict[str, Any]:
    low, high = min(values), max(values)
    texts = [form.format(value).replace(",", "\u202f") for value in (low, high)]
    return cell(sum(values) / len(values), text=" to ".join(dict.fromkeys(texts)))


def _mixes(mixes: list[Mix]) -> dict[str, Any]:
    rows = []
    for mix in mixes:
        cells = []
        for convention in CONVENTIONS:
            low, high, hits = mix.low[convention], mix.high[convention], mix.hits[convention]
            text = " to ".join(dict.fromkeys([fixed(low, 4), fixed(high, 4)]))
            text += f" ({PAPER} in {hits} of {mix.ways})" if hits else ""
            cells.append(cell((low + high) / 2, text=text))
        rows.append([" + ".join(map(str, mix.sizes)), mix.ways, *cells])
    titles = " + ".join(family.title for family in released.FAMILIES)
    note = (
        f"Mean share in per cent over {BENCHMARKS} benchmarks, each counting alike; from the smallest to the largest "
        f"over the ways to choose them, and in how many of these it rounds to the paper's {PAPER}."
    )
    return table(f"Which {BENCHMARKS} benchmarks: {titles}", ["benchmarks", "ways", *CONVENTIONS], rows, note=note)
