"""Projects to be attacked: those of tests/workflow, a fresh checkout or one in which the tiny suite has run."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("workflow_projects", ROOT / "tests" / "workflow" / "conftest.py")
_workflow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_workflow)

copy_repository = _workflow.copy_repository
original, finished = _workflow.original, _workflow.finished


class Project(_workflow.Project):
    """A checkout of its own."""

    @classmethod
    def fresh(cls, top):
        """One in which nothing has run."""
        project = cls(top / "project", top / "cache")
        project.folder.mkdir()
        copy_repository(project.folder)
        return project
