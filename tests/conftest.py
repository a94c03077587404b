"""Numbers are computed as the workflow computes them: the setting has to be in force before torch and numpy load."""

from frod import numerics

numerics.apply("portable")


def pytest_sessionstart():
    numerics.hold(1)
