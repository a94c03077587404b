"""A comparison as tables: in the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from frod.characters import visible
from frod.evaluation import formatting as show
from frod.provenance.run_keys import pair_label, words
from frod.reporting.compare.differences import Arm, Comparison, Row
from frod.reporting.naming import looks, method_order, metric_label
from frod.reporting.text_tables import markdown as escape
from frod.terminal import table

if TYPE_CHECKING:
    from rich.console import RenderableType

ARROW = " → "
SHOWN = 6  # methods with runs that only one side has, listed by name


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table before it is drawn: sections of rows, each with a heading of its own."""

    title: str
    columns: Sequence[str]
    sections: Sequence[tuple[str | None, Sequence[Sequence[str]]]]
    note: str | None = None


def sentences(found: Comparison) -> list[str]:
    """What differs, in a line each, and what could not be looked at."""
    lines = [f"A: {found.a}", f"B: {found.b}"]
    if not found.differ and not found.settings:
        lines.append("Nothing differs.")
    elif not found.differ:
        lines.append("Results do not differ; what is behind them does.")
    elif found.settings:
        first = found.settings[0]
        lines.append(f"Results differ, and so does what is behind them, the likeliest cause first: {first.name}.")
    for side, runs in (("A", found.only_a), ("B", found.only_b)):
        if runs:
            lines.append(f"Only in {side}: {_listed(runs)}")
    return lines + ([found.files.sentence()] if found.files else []) + found.unknown


def _listed(runs: Sequence[str]) -> str:
    """Runs by method: digits/digit_vit/frod (seeds 0, 1)."""
    seeds: dict[str, list[str]] = {}
    for run in runs:
        method, _, seed = run.rpartition("/seed-")
        seeds.setdefault(method, []).append(seed)
    names = [f"{method} (seed{'s' * (len(of) > 1)} {', '.join(of)})" for method, of in seeds.items()]
    left = sum(len(of) for of in list(seeds.values())[SHOWN:])
    return ", ".join(names[:SHOWN]) + (f" and {left} more runs" if left else "")


def tables(found: Comparison) -> list[RenderableType]:
    """Parts to print with a rich Console, 100 columns wide."""
    from rich.text import Text

    # Text, not markup: a name in square brackets is a name.
    return [Text(visible("\n".join(sentences(found))) + "\n"), *map(_drawn, _tables(found))]


def markdown(found: Comparison) -> str:
    """The same as Markdown."""
    lines = sentences(found)
    parts = ["  \n".join(map(escape, lines))]
    for one in _tables(found):
        rows = [f"| {' | '.join(one.columns)} |", "|" + "---|" * len(one.columns)]
        for heading, content in one.sections:
            if heading is not None:
                rows.append(f"| **{escape(heading)}** |" + " |" * (len(one.columns) - 1))
            rows += [f"| {' | '.join(map(escape, cells))} |" for cells in content]
        parts += [f"### {one.title}", "\n".join(rows), *([one.note] if one.note else [])]
    return "\n\n".join(parts)


def _tables(found: Comparison) -> list[_Table]:
    return [one for one in (_results(found), _claims(found), _settings(found)) if one.sections]


def _results(found: Comparison) -> _Table:
    order = method_order(sorted({row.method for row in found.rows}))
    labels = looks(order)
    sections = []
    for (task, backbone), rows in groupby(sorted(found.rows, key=_place), key=_place):
        content = sorted(rows, key=lambda row: order.index(row.method))
        arms = [arm for row in content for arm in (row.a, row.b) if arm and arm.primary]
        metrics = dict.fromkeys(metric_label(str(arm.primary)) for arm in arms)
        heading = f"{pair_label(task, backbone)}, {' / '.join(metrics)}"
        sections.append((heading, [_cells(row, labels[row.method].label) for row in content]))
    return _Table(
        title="Test, mean ± spread over seeds, in points",
        columns=("method", "A", "B", "B − A", "95 % interval", "seeds", "trained", "seconds"),
        sections=sections,
        note="B − A is paired by seed; w: not paired (Welch), as seeds or the order of examples differ. trained: "
        "parameters, head included; seconds: of training.",
    )


def _place(row: Row) -> tuple[str, str]:
    return row.task, row.backbone


def _cells(row: Row, label: str) -> list[str]:
    seeds = _both(row, lambda arm: str(len(arm.seeds)))
    return [
        label,
        _mean(row.a),
        _mean(row.b),
        show.gain(row.difference),
        show.gains(row.low, row.high),
        f"{seeds} w" if row.how == "welch" else seeds,
        _both(row, lambda arm: ", ".join(map(show.short_count, arm.trained)) or show.DASH),
        _both(row, lambda arm: show.DASH if arm.seconds is None else f"{arm.seconds:.3g}"),
    ]


def _mean(arm: Arm | None) -> str:
    if arm is None:
        return show.DASH
    return show.mean(arm.mean, arm.spread, words(arm.undefined.values()))


def _both(row: Row, shown: Callable[[Arm], str]) -> str:
    """One value where both sides have the same."""
    a, b = (shown(arm) if arm else show.DASH for arm in (row.a, row.b))
    return a if a == b else f"{a}{ARROW}{b}"


def _claims(found: Comparison) -> _Table:
    rows = []
    for claim in found.claims:
        sides = [(side or show.DASH).replace("_", " ") for side in (claim.a, claim.b)]
        rows.append((claim.title, *sides, "" if claim.a == claim.b else "changed"))
    return _Table(title="Claims", columns=("claim", "A", "B", ""), sections=[(None, rows)] if rows else [])


def _settings(found: Comparison) -> _Table:
    sections = [
        (group, [(one.name, one.a or show.DASH, one.b or show.DASH) for one in settings])
        for group, settings in groupby(found.settings, key=lambda one: one.group)
    ]
    return _Table(title="Behind the results", columns=("what", "A", "B"), sections=sections)


def _drawn(found: _Table) -> RenderableType:
    rows: list[Sequence[str]] = []
    for heading, content in found.sections:
        if heading is None:
            rows += content
        else:
            rows += [[heading], *([f"  {cells[0]}", *cells[1:]] for cells in content)]
        rows.append([])
    left = found.columns if len(found.columns) <= 4 else found.columns[:1]
    return table(found.columns, rows, left=left, title=found.title, note=found.note)
