"""Synthetic results, made once: tests read them and do not change them."""

import pytest
import synthetic


@pytest.fixture(scope="session")
def results():
    return synthetic.results()
