"""A forest plot: the method under test less the reference, by task and on average, against the margin of a match."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from frod.evaluation import formatting as show
from frod.evaluation.statistics import Difference
from frod.provenance.run_keys import REFERENCE, SUBJECT, pair_label
from frod.reporting.comparison import Headline
from frod.reporting.figures.axes import SOFT, WIDTH, Drawing, Scale, horizontal_axis, legible, short, whisker
from frod.reporting.naming import MethodStyle

ROW, TOP = 46, 18
BAND = "#dcefe1"


def draw(
    headline: Headline,
    looks: Mapping[str, MethodStyle],
    margin: float,
    uninformative: Collection[tuple[str, str]] = (),
) -> Drawing:
    """A row per task with its seeds and interval, and the mean over tasks as a diamond.

    Parameters
    ----------
    margin : float
        In points; what lies to the right of -margin counts as a match, and is shaded.
    uninformative : collection of (task, backbone)
        Where the reference is at chance level, so that the mean does without; their markers are hollow.
    """
    look, tasks = looks[SUBJECT], headline.by_task
    rows = {pair_label(*pair): difference for pair, difference in tasks.items()}
    several = {f"mean over {show.number(headline.over_tasks.n, 'task')}": headline.over_tasks} if len(rows) > 1 else {}
    hollow = [pair_label(*pair) for pair in tasks if pair in uninformative]
    without = f"{looks[REFERENCE].label} at chance level" + ("" if len(hollow) == len(rows) else ": not in the mean")
    bottom = TOP + ROW * len(rows | several)
    drawing = Drawing(
        WIDTH,
        bottom + (60 if hollow else 42),
        f"{look.label} − {looks[REFERENCE].label}: difference of the test metric by task",
        f"In points, with its 95 % interval; at least −{margin:g} counts as a match. "
        + "; ".join(f"{name}: {_said(difference)}" for name, difference in (rows | several).items())
        + (f". {without}: {', '.join(hollow)}" if hollow else ""),
    )
    values = [-margin, margin, *(100 * value for d in tasks.values() for value in (*d.each, d.mean))]
    ends = [100 * end for d in (*tasks.values(), headline.over_tasks) if d.has_interval for end in (d.low, d.high)]
    scale = Scale(*legible(values, ends, room=1.5), 14, WIDTH - 14)
    edge = scale(-margin)
    drawing.add("rect", x=edge, y=0, width=scale.end - edge, height=bottom, fill=BAND, class_="band")
    drawing.text(edge + 4, 13, "a match", size=11, soft=True, halo=False)
    horizontal_axis(drawing, scale, TOP, bottom, "points")
    drawing.text(scale.start, bottom + 34, "← worse", size=11, soft=True)
    drawing.text(scale.end, bottom + 34, "better →", size=11, anchor="end", soft=True)
    drawing.line(scale(0), TOP, scale(0), bottom)
    for index, (name, difference) in enumerate((rows | several).items()):
        y = TOP + ROW * index + 30
        said = _said(difference)
        drawing.text(scale.start, y - 14, short(name, 49 - len(said)), soft=name in hollow)
        within = 6 * len(said) < scale.end - edge  # a halo has the colour of the ground next to the band
        drawing.text(scale.end - 4, y - 14, said, anchor="end", halo=not within)
        hint = f"{name}, mean of {difference.n}: {_said(difference, 2)}"
        if name in several:
            drawing.line(0, y - 30, WIDTH, y - 30)
            _diamond(drawing, scale, y, difference, look, hint)
        else:
            _seeds(drawing, scale, y, difference, look, name, hint, hollow=name in hollow)
    if hollow:
        drawing.mark(scale.start + 5, bottom + 50, look, size=5, hollow=True, hint=without)
        drawing.text(scale.start + 16, bottom + 54, without, size=11, soft=True)
    return drawing


def _said(found: Difference, digits: int = 1) -> str:
    """A difference and its interval, where it has one."""
    interval = show.gains(found.low, found.high, digits) if found.has_interval else "no interval"
    return f"{show.gain(found.mean, digits)} {interval}"


def _seeds(
    drawing: Drawing,
    scale: Scale,
    y: float,
    found: Difference,
    look: MethodStyle,
    name: str,
    hint: str,
    *,
    hollow: bool,
) -> None:
    """The mean of a task with its interval, and its seeds below."""
    if found.has_interval:
        whisker(drawing, scale, look, y, (100 * found.low, 100 * found.high), hint=hint, upright=False)
    for seed, value in zip(found.pairs, found.each):
        said = f"{name}, seed {seed}: {show.gain(value, 2)}"
        drawing.mark(scale(100 * value), y + 9, look, size=2.8, opacity=0.6, hollow=hollow, hint=said)
    drawing.mark(scale(100 * found.mean), y, look, size=5, hollow=hollow, hint=hint)


def _diamond(drawing: Drawing, scale: Scale, y: float, found: Difference, look: MethodStyle, hint: str) -> None:
    """The mean over tasks: as wide as its interval, or where it has none as a marker is."""
    middle = scale(100 * found.mean)
    ends = (scale.inside(100 * found.low), scale.inside(100 * found.high))
    left, right = ends if found.has_interval else (middle - 7, middle + 7)
    path = f"M{left:.1f} {y}L{middle:.1f} {y - 8}L{right:.1f} {y}L{middle:.1f} {y + 8}Z"
    colour = {"fill": look.colour, "stroke": SOFT, "stroke_width": "0.5", "class_": f"f{look.slot}"}
    drawing.add("path", d=path, **colour, hint=hint)
