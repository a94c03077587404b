"""A forest plot of methods: what each differs by from the method under test, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frod.evaluation import formatting as show
from frod.provenance.run_keys import SUBJECT
from frod.reporting.figures.axes import WIDTH, Drawing, Scale, horizontal_axis, legible, short, whisker
from frod.reporting.naming import MethodStyle

ROW, TOP = 34, 4


def names(section: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The forests of a section of claims.json, by the names of their figures."""
    return {f"{section['id']}_{of['id']}": of for of in section["forests"] if of["rows"]}


def draw(of: Mapping[str, Any], looks: Mapping[str, MethodStyle]) -> Drawing:
    """A row per method.

    Parameters
    ----------
    of : mapping
        `of` (the quantity), `more_is_better`, `digits`, and `rows` (method, value, low, high; ends may be None).
    """
    bottom = TOP + ROW * len(of["rows"])
    said = {row["method"]: _said(row, of["digits"]) for row in of["rows"]}
    drawing = Drawing(
        WIDTH,
        bottom + 42,
        f"{of['of']}: each method less {looks[SUBJECT].label}",
        "With its 95 % interval. " + "; ".join(f"{looks[method].label}: {text}" for method, text in said.items()),
    )
    values = [0.0, *(row["value"] for row in of["rows"])]
    ends = [end for row in of["rows"] if row["low"] is not None for end in (row["low"], row["high"])]
    scale = Scale(*legible(values, ends, room=1.5, least=10.0 ** -of["digits"]), 14, WIDTH - 14)
    horizontal_axis(drawing, scale, TOP, bottom, of["of"])
    left, right = ("← worse", "better →") if of["more_is_better"] else ("← better", "worse →")
    drawing.text(scale.start, bottom + 34, left, size=11, soft=True)
    drawing.text(scale.end, bottom + 34, right, size=11, anchor="end", soft=True)
    drawing.line(scale(0), TOP, scale(0), bottom)
    for index, row in enumerate(of["rows"]):
        look, y = looks[row["method"]], TOP + ROW * index + 25
        drawing.text(scale.start, y - 10, short(look.label, 30))
        drawing.text(scale.end, y - 10, said[row["method"]], anchor="end")
        hint = f"{look.label}: {said[row['method']]}"
        if row["low"] is not None:
            whisker(drawing, scale, look, y, (row["low"], row["high"]), hint=hint, upright=False)
        drawing.mark(scale(row["value"]), y, look, size=4.5, hint=hint)
    return drawing


def _said(row: Mapping[str, Any], digits: int) -> str:
    """A difference with its interval, where it has one."""
    interval = show.interval(row["low"], row["high"], digits) if row["low"] is not None else ""
    return f"{show.signed(row['value'], digits)} {interval}".strip()
