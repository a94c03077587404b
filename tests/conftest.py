"""Tests compute as a program does that imports the library: whatever numerics one of them asks for end with it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from frod import numerics

sys.path.append(str(Path(__file__).parent / "workflow"))  # what tests of several folders use
from projects import alone, finished, fresh, original, project  # noqa: F401 - fixtures

numerics.apply("native")
# `nohup`, and a script that runs tests in its background, hand down that these are ignored: every job of a test would.
for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL)


# Modules and folders of a minute or more, so that all processes end at the same time; `make test` keeps this order.
LONGEST = (
    "real/test_sst2.py",
    "workflow/test_slurm.py",
    "workflow/test_forgeries.py",
    "workflow/test_published.py",
    "workflow/test_end_to_end.py",
    "workflow",
    "unit/training/test_processes.py",
    "unit/test_bench_processes.py",
    "unit/backbones/test_shipped.py",
    "faults",
    "security",
    "warm",
    "fuzz",
    "reference",
    "unit/test_bench.py",
    "unit/test_trainer.py",
)


def pytest_xdist_auto_num_workers():
    """One more than processors: tests of clusters, kills and commands wait for others much of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
    """The longest first."""
    here = Path(__file__).parent
    place = [here / name for name in LONGEST]
    items.sort(key=lambda item: next((i for i, one in enumerate(place) if item.path.is_relative_to(one)), len(place)))


@pytest.fixture(autouse=True)
def _numerics_end_with_the_test():
    yield
    numerics.apply("native")
    products = sys.modules.get("frod.openblas")
    if products is not None and products.install.cache_info().currsize:
        products.install()._destroy()
        products.install.cache_clear()
