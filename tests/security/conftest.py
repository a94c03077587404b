"""The project in which the tiny suite has run is the one of tests/workflow: made once for all."""

from checked_projects import finished, original  # noqa: F401 - fixtures
