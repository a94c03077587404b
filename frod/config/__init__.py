"""Typed parameters: what params.yaml and a suite file may say, checked once before any job starts.

Nothing here computes. `load` turns the files into a `Workflow`: the settings, the list of runs, and the list of trials
that their learning rates are chosen by, each with every value that its result depends on. That resolved run goes to the
training command and into its record, so this package is not among the code whose change makes runs stale.
"""

from frod.config.rates import Box, Rates
from frod.config.settings import Extraction, Params, Training
from frod.config.suite import Method, Suite
from frod.config.workflow import Run, Trial, Workflow, load

__all__ = ["Box", "Extraction", "Method", "Params", "Rates", "Run", "Suite", "Training", "Trial", "Workflow", "load"]
