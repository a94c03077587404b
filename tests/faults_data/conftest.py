"""The project in which the tiny suite has run is the one of tests/workflow: made once for all."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "workflow_projects", Path(__file__).parents[1] / "workflow" / "conftest.py"
)
_workflow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_workflow)

original, finished = _workflow.original, _workflow.finished
Project, copy_repository, TINY = _workflow.Project, _workflow.copy_repository, _workflow.TINY
