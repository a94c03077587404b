"""Typed parameters: what params.yaml and a suite file may say, checked once before any job starts.

Nothing here computes. `load` turns the files into a `Workflow`: the settings, the list of runs, and the list of trials
that their learning rates are chosen by, each with every value that its result depends on. That resolved run goes to the
training command and into its record, so this package is not among the code whose change makes runs stale.
"""

from frod.config.settings import Basis, Extraction, Params, Paths, Protocol, Resources, Split, Tracking, Training
from frod.config.suite import Experiment, Method, Rates, Suite
from frod.config.workflow import Run, Trial, Workflow, load

__all__ = [
    "Basis",
    "Experiment",
    "Extraction",
    "Method",
    "Params",
    "Paths",
    "Protocol",
    "Rates",
    "Resources",
    "Run",
    "Split",
    "Suite",
    "Tracking",
    "Training",
    "Trial",
    "Workflow",
    "load",
]
