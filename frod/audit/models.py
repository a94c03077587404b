"""What models and raw data tell, asked in a process of its own: it alone has to import torch, timm, transformers, peft.

Those imports take longer than all the rest of an audit, which goes on meanwhile.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import Any

from frod.audit import counts
from frod.audit.findings import Findings
from frod.audit.study import Study

UNUSED = ("bitsandbytes", "boto3")
"""peft imports the one and accelerate the other wherever they are installed: for quantised layers, for a cloud."""

SELDOM = 1_000_000
"""Objects that are made between two searches for garbage: Python's own default is 700, and more of a larger heap."""


def only_answer() -> None:
    """Begin a process that does nothing but answer: it imports less, looks for garbage seldom, and ends at once.

    What those libraries build stays. To go through it again and again, in search of garbage, takes Python 1.3 of 6.4
    seconds; to take it down at the end another 1.6.
    """
    import_less()
    gc.set_threshold(SELDOM)
    atexit.register(os._exit, 0)


def import_less() -> None:
    """Have the libraries do without what they import and no audit uses."""
    for name in UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]  # it is not to be imported


def ask(report: Path) -> tuple[dict[tuple, Any], Findings]:
    """Read the raw data again, and build the suite's models without numbers.

    Parameters
    ----------
    report : Path
        As in `frod.audit.walk`.

    Returns
    -------
    trained : dict
        What each method trains of each backbone, and the heads, as `Study.trained` keeps them.
    findings : Findings
        Of raw data and bases.
    """
    from frod.audit import bases, raw

    study, findings = Study.open(report), Findings()
    with findings.guard(report, "the raw data"):
        raw.check(study, findings)
    with findings.guard(report, "the bases"):
        bases.check(study, findings)
    for run in study.runs.values():
        with contextlib.suppress(Exception):  # what fails is asked again for the run, and becomes a finding there
            counts.trained_of(study, run)
            counts.head_of(study, run)
    return study.trained, findings
