"""What methods, metrics and pages are called in a report, in which order they come, and how each method looks.

A method keeps colour and marker in every figure of every report: a reader who has learnt them once need not again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frod.provenance.run_keys import REFERENCE, SUBJECT


@dataclass(frozen=True, kw_only=True)
class MethodStyle:
    """How a method appears: its label, and the slot that colour and marker go with."""

    label: str
    slot: int
    colour: str
    dark: str
    marker: str
    dash: str | None
    """Of its lines, as SVG writes it; None: whole."""


# Okabe and Ito's palette, told apart by colour-blind readers; the second colour is for a dark ground.
_PALETTE = (
    ("#4a4a4a", "#c8c8c8", "square"),
    ("#d55e00", "#ff8c42", "circle"),
    ("#0072b2", "#5bb8f0", "triangle"),
    ("#00805f", "#35c79b", "diamond"),
    ("#b0568a", "#e59ac4", "cross"),
    ("#8a7400", "#e3c930", "wedge"),
    ("#5b4fb5", "#a79df2", "plus"),
    ("#7a4a21", "#d0a074", "bar"),
)
_DASHES = (None, "6 3", "2 3")
_FIXED = {"full_ft": 0, "frod": 1, "lora": 2, "linear_probe": 3, "vera": 4, "pissa": 5, "randlora": 6, "dora": 7}
_LABELS = {"full_ft": "full fine-tuning", "frod": "FRoD", "lora": "LoRA", "linear_probe": "linear probe"}
_METRICS = {
    "accuracy": "accuracy",
    "accuracy_norm": "accuracy by likelihood per byte",
    "matthews_correlation": "Matthews correlation",
    "f1": "F1",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "exact_match": "exact match",
}


def looks(methods: Sequence[str], described: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, MethodStyle]:
    """Look of each method, in the order given.

    Parameters
    ----------
    methods : sequence of str
    described : mapping of method to its settings, optional
        `label`, where it is there and not None, is the name to show.
    """
    free = [slot for slot in range(len(_PALETTE)) if slot not in {_FIXED.get(method) for method in methods}]
    found: dict[str, MethodStyle] = {}
    for method in methods:
        # Beyond eight methods slots repeat: lines are then dashed, and labels tell the rest apart.
        slot = _FIXED[method] if method in _FIXED else (free.pop(0) if free else len(found) % len(_PALETTE))
        colour, dark, marker = _PALETTE[slot]
        before = sum(look.slot == slot for look in found.values())
        dash = _DASHES[min(before, len(_DASHES) - 1)]
        label = ((described or {}).get(method) or {}).get("label") or _LABELS.get(method, method)
        found[method] = MethodStyle(label=str(label), slot=slot, colour=colour, dark=dark, marker=marker, dash=dash)
    return found


def method_order(present: Sequence[str], suite: Sequence[str] = ()) -> list[str]:
    """Reference, then the method under test, then the suite's order, then the rest by name; all of either are in it."""
    wanted = [REFERENCE, SUBJECT, *suite, *sorted(present)]
    return [method for method in dict.fromkeys(wanted) if method in set(present) | set(suite)]


def metric_label(name: str) -> str:
    """A metric's name in words."""
    return _METRICS.get(name, name)


def metric_axis(name: str) -> str:
    """A metric's name with the unit it is shown in: every figure is shown times one hundred."""
    shares = ("accuracy", "accuracy_norm", "f1", "exact_match")
    return f"{metric_label(name)}, %" if name in shares else f"{metric_label(name)} × 100"


def run_page(task: str, backbone: str, method: str) -> str:
    """Path of the page of a method's runs, below the report's folder."""
    return f"runs/{file_name(task)}/{file_name(backbone)}/{file_name(method)}.html"


def file_name(*parts: str) -> str:
    """A name safe in a file system, from names that may hold anything.

    Of a suite's names, which hold no hyphen, no two give the same; others are told apart by a hash.
    """
    joined = "-".join(parts)
    safe = re.sub(r"^\.+|[^A-Za-z0-9_.-]+", "_", joined)  # neither hidden nor the folder above
    return safe if safe == joined else f"{safe}-{hashlib.sha256(joined.encode()).hexdigest()[:8]}"


FIGURES = {
    "difference": "difference to full fine-tuning",
    "ablation_metric": "test metric less FRoD's, by method",
    "ablation_loss": "test loss less FRoD's, by method",
    "best_of": "best of n trials, expected",
    "seeds": "test, every seed",
    "pareto": "test against trained parameters",
    "loss": "training loss",
    "validation": "metric during training",
    "spectrum": "spectrum of the change of the weights",
}


def labels_of_figure(name: str) -> dict[str, str]:
    """Columns of a figure in the report that Snakemake makes."""
    kind, task, backbone = [*name.split("-"), "all", "all"][:3]
    return {"figure": FIGURES[kind], "task": task, "model": backbone}
