"""The tiny suite's project, as tests/workflow makes it, for the tests of faults and their scripts."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("workflow_projects", ROOT / "tests" / "workflow" / "conftest.py")
_workflow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_workflow)

Project, copy_repository, TINY = _workflow.Project, _workflow.copy_repository, _workflow.TINY
original, finished = _workflow.original, _workflow.finished

_spec = importlib.util.spec_from_file_location("toy_projects", ROOT / "tests" / "workflow" / "small_project.py")
_toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_toy)

ToyProject = _toy.Project
Hold, forks = _workflow.Hold, _workflow.forks
