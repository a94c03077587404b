"""The files of a study that a storage provider keeps: a job sees copies of them, below a folder of Snakemake's.

A command goes to that folder, where each file has the name that it has in a study, in records and messages too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "FROD_COPIES"  # the folder, with a slash at its end
PROJECT = "FROD_PROJECT"  # where the command was called


def enter() -> None:
    """Go to the folder of the copies, if there is one; paths among the command's arguments become those seen there."""
    folder = os.environ.pop(VARIABLE, "")  # not for processes that this one starts: they begin in the folder
    if folder:
        os.environ[PROJECT] = os.getcwd()
        # Processes that this one starts are to find the same package.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
        sys.argv[1:] = [word.removeprefix(folder) for word in sys.argv[1:]]
        os.chdir(folder)


def project() -> Path:
    """The folder of params.yaml, of the suites and of git's checkout."""
    return Path(os.environ.get(PROJECT, ""))
