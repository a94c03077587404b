"""An estimate as tables: per backbone and method, then the sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frod.cost.estimate import Estimate, Job

if TYPE_CHECKING:
    from rich.table import Table

GIB = 2**30


def table(estimate: Estimate, title: str) -> Table:
    """A row for each backbone and method, and the sum.

    Returns
    -------
    rich Table, which fits in 100 columns
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(title=Text(title), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=True)
    total = _cells(estimate.jobs)
    names = ("runs", "trials", "trained", "hours", "longest", "GiB memory", "GiB disk")
    result.add_column("backbone", Text("in all"))
    result.add_column("method")
    for name, footer in zip(names, total):
        result.add_column(name, Text("" if name == "trained" else footer), justify="right", no_wrap=True)
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in estimate.jobs:
        groups.setdefault((job.backbone, job.method), []).append(job)
    last = None
    for (backbone, method), jobs in groups.items():
        if last not in (None, backbone):
            result.add_section()
        result.add_row(*map(Text, ["" if backbone == last else backbone, method, *_cells(jobs)]))
        last = backbone
    return result


def _cells(jobs: list[Job]) -> list[str]:
    runs = [job for job in jobs if job.trial is None]
    return [
        f"{len(runs):,}",
        f"{len(jobs) - len(runs):,}",
        f"{max(job.trained for job in jobs):,}",
        figure(sum(job.hours for job in jobs)),
        figure(max(job.hours for job in jobs)),
        figure(max(job.memory_bytes for job in jobs) / GIB),
        figure(sum(job.disk_bytes for job in jobs) / GIB),
    ]


def disk_line(estimate: Estimate) -> str:
    """The disk by what it holds."""
    full = sum(job.disk_bytes for job in estimate.jobs if job.method == "full_ft")
    parts = {
        "weights": sum(estimate.weights.values()),
        "prepared arrays": sum(estimate.arrays.values()),
        "bases": sum(estimate.bases.values()),
        "runs": sum(job.disk_bytes for job in estimate.jobs),
    }
    text = ", ".join(f"{name} {figure(size / GIB)}" for name, size in parts.items())
    kept = f"of which {figure(full / GIB)} full fine-tuning's, which keeps all weights of each run"
    return f"Disk, GiB: {figure(estimate.disk_bytes / GIB)} in all; {text}, {kept}."


def figure(value: float) -> str:
    """Three digits that count; of large numbers all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
