"""Progress of an audit on a terminal; nowhere else: a log wants findings only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from frod.audit.walk import Progress


@contextmanager
def shown() -> Iterator[Progress]:
    """Give a function that shows how far an audit is."""
    if not sys.stderr.isatty():
        yield lambda what, done, all: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    with Bars(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, all: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=all)
            bars.update(tasks[what], completed=done, total=all)

        yield show
