"""Warm processes for tests; see small_jobs.py."""

import sys

import pytest
from small_jobs import Warm, gone

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]  # warm processes are for Linux


@pytest.fixture
def fresh(tmp_path):
    """A project in which no warm process has started yet."""
    one = Warm(tmp_path)
    yield one
    one.end()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A warm process that tests share which leave it alive."""
    folder = tmp_path_factory.mktemp("warm")
    one = Warm(folder)
    assert one.start()
    yield one
    one.end()
    assert gone(one.process) and not one.leftovers()
