"""Forgeries of trials and facts of records, with the lines that an audit has to print; those that stay possible."""

from collections.abc import Callable
from pathlib import Path

ALTERED: dict[str, tuple[Callable[[Path], None], list[str]]] = {}
POSSIBLE: dict[str, Callable[[Path], None]] = {}
