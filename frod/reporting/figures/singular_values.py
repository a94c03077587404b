"""The spectrum of what a training changed: the singular values of W' - W, one curve for each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

from frod.reporting.figures.axes import Drawing, Scale, plot, tick_label
from frod.reporting.figures.lines import some
from frod.reporting.naming import MethodStyle
from frod.reporting.thinned_curves import Points

FLOOR = 1e-6
"""Below this share of the largest, a singular value is not told from rounding."""
SHARES = 48  # points of a curve


def draw(curves: Mapping[str, Points], looks: Mapping[str, MethodStyle], *, title: str) -> Drawing:
    """Singular values over the largest, against their index over how many there are.

    Parameters
    ----------
    curves : mapping of method to its curve
        Of `median_spectrum`.
    """
    drawing, x, y = plot(
        title,
        "Singular values of W' - W over the largest, median over layers and seeds; the axis ends at "
        f"{tick_label(FLOOR)}. Methods: {', '.join(looks[method].label for method in curves)}.",
        [looks[method] for method in curves],
        Scale(0, 1),
        Scale(FLOOR, 1.3, log=True),
        {share: tick_label(share) for share in (0, 0.25, 0.5, 0.75, 1)},
        "share of the singular values, from the largest",
    )
    for method, curve in curves.items():
        look = looks[method]
        drawing.stroke([(x(share), y.inside(value)) for share, value in curve], look, width=2.4, hint=look.label)
        for share, value in some(curve, look.slot):
            said = f"{look.label}: after {100 * share:.0f} % of them, {value:.2g} of the largest"
            drawing.mark(x(share), y.inside(value), look, size=3.6, hint=said)
    return drawing


def median_spectrum(spectra: pd.DataFrame) -> Points:
    """Median, over layers and seeds, of the singular values over the largest, at shares of their number.

    Layers have different numbers of singular values: at share s stands the value of index ceil(s * k) of k. A layer
    that was not changed at all has none to compare, and is left out.

    Parameters
    ----------
    spectra : DataFrame
        Of spectrum.parquet; `singular_values` are descending.

    Returns
    -------
    list of (share, value), none where no layer was changed
    """
    import numpy as np

    shares = np.arange(SHARES + 1) / SHARES
    curves = []
    for values in spectra["singular_values"]:
        if len(values) and values[0] > 0:
            places = np.maximum(np.ceil(shares * len(values)).astype(int), 1) - 1
            curves.append(np.asarray(values)[places] / values[0])
    if not curves:
        return []
    return list(zip(shares.tolist(), np.median(curves, axis=0).tolist()))
