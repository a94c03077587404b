"""What is reached with how many trained parameters, and which methods no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from frod.evaluation import formatting
from frod.evaluation.runs import pair_label
from frod.evaluation.statistics import Difference, mean_interval
from frod.reporting.axes import WIDTH, below, legend, padded, vertical_axis, whisker
from frod.reporting.comparison import Comparison
from frod.reporting.naming import Look, metric_axis, metric_label
from frod.reporting.svg import Drawing, Scale, log_ticks

LEFT, RIGHT, HEIGHT = 50, WIDTH - 22, 154


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names of the points that no other beats: none has fewer parameters and as high a value, or as few and a higher.

    Parameters
    ----------
    points : mapping of name to (parameters, value)

    Returns
    -------
    list of str, by rising parameters
    """
    found: list[str] = []
    best = float("-inf")
    for name, (_, value) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if value > best:
            found.append(name)
            best = value
    return found


def scatter(comparison: Comparison, trained: Mapping[str, int], looks: Mapping[str, Look]) -> Drawing | None:
    """Test metric, as mean with its interval over seeds, against trained parameters; None without two methods.

    Parameters
    ----------
    trained : mapping of method to its number of trained parameters, head included
    """
    means = {
        result.method: mean_interval({seed: 100 * value for seed, value in result.values.items()})
        for result in comparison.results
        if result.values and trained[result.method] > 0
    }
    if len(means) < 2:
        return None
    best = front({method: (trained[method], mean.mean) for method, mean in means.items()})
    drawing = Drawing(
        WIDTH,
        250,
        f"Test {metric_label(comparison.primary)} against trained parameters, "
        + pair_label(comparison.task, comparison.backbone),
        f"Mean over seeds with its 95 % interval. Not beaten in both: {', '.join(looks[m].label for m in best)}. "
        + "; ".join(f"{looks[m].label}: {trained[m]} parameters, {means[m].mean:.1f}" for m in means),
    )
    top = legend(drawing, [looks[method] for method in means])
    drawing.height = top + HEIGHT + 42
    counts = [trained[method] for method in means]
    x = Scale(min(counts) / 1.5, max(counts) * 1.5, LEFT, RIGHT, log=True)
    y = Scale(*_range(list(means.values())), top + HEIGHT, top + 4)
    vertical_axis(drawing, y, LEFT, RIGHT)
    ticks = {tick: _short_count(tick) for tick in _decades(x)}
    below(drawing, x, top + HEIGHT, ticks, f"test {metric_axis(comparison.primary)}, over trained parameters")
    corners: list[tuple[float, float]] = []
    for method in best:
        at, height = x(trained[method]), y(means[method].mean)
        corners += [(at, corners[-1][1]), (at, height)] if corners else [(at, height)]
    for (x1, y1), (x2, y2) in pairwise(corners):
        drawing.line(x1, y1, x2, y2, dash="4 3")
    for method, mean in means.items():
        look, at = looks[method], x(trained[method])
        hint = f"{look.label}: {formatting.count(trained[method])} trained, mean of {mean.n}: {mean.mean:.2f}"
        if mean.has_interval:
            hint += f", 95 % interval [{mean.low:.2f}, {mean.high:.2f}]"
            whisker(drawing, y, look, at, (mean.low, mean.high), hint=hint, upright=True)
        drawing.mark(at, y(mean.mean), look, size=5, hint=hint + (", on the front" if method in best else ""))
    return drawing


def _range(means: Sequence[Difference]) -> tuple[float, float]:
    """What was measured, and intervals as far as they leave it legible: with two seeds they are much wider."""
    data = [value for mean in means for value in mean.each]
    low, high = min(data), max(data)
    room = 0.4 * max(high - low, 1.0)
    ends = [end for mean in means if mean.has_interval for end in (mean.low, mean.high)]
    return padded(max(min([low, *ends]), low - room), min(max([high, *ends]), high + room), least=1.0)


def _decades(scale: Scale) -> list[float]:
    """A few ticks: counts in words are wide."""
    ticks = log_ticks(scale.low, scale.high)
    return ticks if len(ticks) <= 6 else ticks[:: -(-len(ticks) // 6)]


def _short_count(value: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
