"""Tests compute as a program does that imports the library: whatever numerics one of them asks for end with it."""

import sys

import pytest

from frod import numerics

numerics.apply("native")


@pytest.fixture(autouse=True)
def _numerics_end_with_the_test():
    yield
    numerics.apply("native")
    products = sys.modules.get("frod.numerics.products")
    if products is not None and products.install.cache_info().currsize:
        products.install()._destroy()
        products.install.cache_clear()
