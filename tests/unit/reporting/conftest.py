"""Synthetic results and their report, made once: tests read them and do not change them."""

import pytest
import synthetic
from pages import page


@pytest.fixture(scope="session")
def results():
    return synthetic.results()


@pytest.fixture(scope="session")
def built(results, tmp_path_factory):
    """The folder of the report."""
    folder = tmp_path_factory.mktemp("reports") / "smoke"
    page(results, folder)
    return folder


@pytest.fixture(scope="session")
def html(built):
    return (built / "index.html").read_text()
