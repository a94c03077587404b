"""What is reached with how many trained parameters, and which methods no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from frod.evaluation import formatting
from frod.evaluation.statistics import mean_interval
from frod.provenance.run_keys import pair_label
from frod.reporting.comparison import Comparison
from frod.reporting.figures.axes import Drawing, Scale, legible, log_ticks, plot, whisker
from frod.reporting.naming import MethodStyle, metric_axis, metric_label


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


def draw(comparison: Comparison, trained: Mapping[str, int], looks: Mapping[str, MethodStyle]) -> Drawing | None:
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
    counts = [trained[method] for method in means]
    x = Scale(min(counts) / 1.5, max(counts) * 1.5, log=True)
    ticks = log_ticks(x.low, x.high)
    ticks = ticks[:: -(-len(ticks) // 6)]  # a few, as counts in words are wide
    values = [value for mean in means.values() for value in mean.each]
    ends = [end for mean in means.values() if mean.has_interval for end in (mean.low, mean.high)]
    drawing, x, y = plot(
        f"Test {metric_label(comparison.primary)} against trained parameters, "
        + pair_label(comparison.task, comparison.backbone),
        f"Mean over seeds with its 95 % interval. Not beaten in both: {', '.join(looks[m].label for m in best)}. "
        + "; ".join(f"{looks[m].label}: {trained[m]} parameters, {means[m].mean:.1f}" for m in means),
        [looks[method] for method in means],
        x,
        Scale(*legible(values, ends, room=0.4)),
        {tick: _short_count(tick) for tick in ticks},
        f"test {metric_axis(comparison.primary)}, over trained parameters",
    )
    for left, right in pairwise(best):
        x1, x2, y1, y2 = x(trained[left]), x(trained[right]), y(means[left].mean), y(means[right].mean)
        drawing.line(x1, y1, x2, y1, dash="4 3")
        drawing.line(x2, y1, x2, y2, dash="4 3")
    for method, mean in means.items():
        look, at = looks[method], x(trained[method])
        hint = f"{look.label}: {formatting.count(trained[method])} trained, mean of {mean.n}: {mean.mean:.2f}"
        if mean.has_interval:
            hint += f", 95 % interval [{mean.low:.2f}, {mean.high:.2f}]"
            whisker(drawing, y, look, at, (mean.low, mean.high), hint=hint, upright=True)
        drawing.mark(at, y(mean.mean), look, size=5, hint=hint + (", on the front" if method in best else ""))
    return drawing


def _short_count(value: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
