"""What models and raw data tell, asked in a process of its own: it alone has to import torch, timm, transformers, peft.

Those imports take longer than all the rest of an audit, which goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from frod.audit import counts
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.config import Extraction

UNUSED = ("bitsandbytes", "boto3")
"""peft imports the one and accelerate the other wherever they are installed: for quantised layers, for a cloud."""


def import_less() -> None:
    """Have the libraries do without what they import and no audit uses; of a process that does nothing else."""
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
    from frod.audit import raw

    study, findings = Study.open(report), Findings()
    with findings.guard(report, "the raw data"):
        raw.check(study, findings)
    for folder, (backbone, settings) in study.bases.items():
        path = folder / "manifest.json"
        with findings.guard(path, "the basis"):
            _check_basis(study, path, backbone, settings, findings)
            findings.checked["bases"] += 1
    for run in study.runs.values():
        with contextlib.suppress(Exception):  # what fails is asked again for the run, and becomes a finding there
            counts.trained_of(study, run)
            counts.head_of(study, run)
    return study.trained, findings


def _check_basis(study: Study, path: Path, backbone: str, settings: Extraction, findings: Findings) -> None:
    """The basis is of these weights, of the planned settings, whole, and within the bounds of its errors."""
    import frod
    from frod import backbones
    from frod.audit.data import MODEL, remedy
    from frod.method.targets import find

    manifest = json.loads(path.read_text("utf-8"))
    findings.equal(path, "kind", settings.kind, manifest.get("kind", "shared"), remedy=remedy(path))
    findings.equal(path, "ridge", settings.ridge, manifest["ridge"], remedy=remedy(path))
    findings.equal(path, "part_of", None, manifest["part_of"], remedy=remedy(path))
    with findings.guard(path.with_name("basis.safetensors"), "the basis"):
        basis = frod.Basis.load(path.parent)
        findings.equal(path, "digest, by basis.safetensors", basis.digest(), manifest["digest"], remedy=remedy(path))
        basis.check()
    with findings.guard(study.model(backbone) / MODEL, "that the basis is of these weights"):
        model = backbones.skeleton(study.model(backbone))
        names = [layer for category in find(model, settings.targets).values() for layer in category]
        weights = frod.model_hash(model, names, checkpoint=study.model(backbone))
        findings.equal(path, "model_hash, by the weights", weights, manifest["model_hash"], remedy=remedy(path))
