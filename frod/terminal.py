"""What is printed: tables of one look, on a terminal, a pipe or a log of any encoding."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from frod.characters import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH = 100  # characters; a file or a pipe has none of its own


def printable() -> None:
    """Print what the encoding of standard output lacks as `?`: no finished work ends in an error for a ± or a σ."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def console() -> Console:
    """Return a rich Console of WIDTH on standard output."""
    from rich.console import Console

    printable()
    return Console(width=WIDTH, highlight=False)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Collection[str],
    title: str | None = None,
    note: str | None = None,
    footer: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """A table to print with `console`.

    Parameters
    ----------
    rows : iterable of sequences of str
        One of a single cell is a heading; an empty one ends a section.
    left : collection of str
        Columns of words, which may be folded; the others are figures, to the right, and keep their width.
    footer : mapping of column to str, optional
        The last row.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Text, not markup: a name in square brackets is a name.
    drawn = Table(
        title=title and Text(visible(title)),
        caption=note and Text(visible(note)),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_footer=bool(footer),
    )
    for name in columns:
        words = name in left
        drawn.add_column(
            Text(name),
            Text(footer.get(name, "")),
            justify="left" if words else "right",
            no_wrap=not words,
            overflow="fold",
        )
    for row in rows:
        if row:
            drawn.add_row(*(Text(visible(cell), style="bold" if len(row) == 1 else "") for cell in row))
        else:
            drawn.add_section()
    return drawn
