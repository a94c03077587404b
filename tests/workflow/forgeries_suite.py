"""Forgeries of the suite and what is around the runs, with what an audit has to print; those that stay possible."""

from collections.abc import Callable
from pathlib import Path

ALTERED: dict[str, tuple[Callable[[Path], None], list[str]]] = {}
POSSIBLE: dict[str, Callable[[Path], None]] = {}
