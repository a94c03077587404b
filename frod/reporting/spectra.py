"""The singular values of every adapted layer: read when they are asked for, and one curve of them for each method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

from frod import artefacts
from frod.reporting.curves import Points

FLOOR = 1e-6
"""Below this share of the largest, a singular value is not told from rounding."""
SHARES = 48  # points of a curve


class Spectra(Mapping):
    """Tables of spectrum.parquet, each read anew when it is asked for: those of a large suite take gigabytes together.

    Parameters
    ----------
    paths : mapping of (task, backbone, method) to the file
    """

    def __init__(self, paths: Mapping[tuple[str, str, str], Path]) -> None:
        self._paths = paths

    def __getitem__(self, key: tuple[str, str, str]) -> pd.DataFrame:
        return artefacts.read_table(self._paths[key], columns=["seed", "layer", "singular_values"])

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


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
