"""Compute categories side by side, each on one thread, so that no digit depends on their number; show how far it is."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

from frod.method.basis import without_autocast

Result = TypeVar("Result")


def side_by_side(extract: Callable[[str], Result], categories: Sequence[str], count: int) -> dict[str, Result]:
    """Extract `count` categories at a time, each on one thread of the CPU: sums of several come in another order."""

    def alone(category: str) -> Result:
        torch.set_num_threads(1)  # of the thread that this runs in; the same holds for the modes of torch
        with torch.no_grad(), without_autocast():
            return extract(category)

    before, count = torch.get_num_threads(), min(count, len(categories))
    try:
        if count <= 1:  # here, where Ctrl-C need not wait for the end of a category
            return {category: alone(category) for category in categories}
        with ThreadPoolExecutor(count) as pool:
            return dict(zip(categories, pool.map(alone, categories)))
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread of the CPU: sums of several come in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def showing(shown: bool, total: int) -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """A bar on a terminal, and a line per category with its seconds wherever standard error goes."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task("basis", total=total)

        @contextmanager
        def report(what: str) -> Iterator[None]:
            bar.update(task, description=f"basis of {what}")
            began = time.perf_counter()
            yield
            bar.advance(task)
            if shown:
                seconds = time.perf_counter() - began
                console.print(f"basis of {what}: {seconds:.1f} s", highlight=False, markup=False, soft_wrap=True)

        yield report
