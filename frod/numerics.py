"""Which instructions of the processor the numerical libraries use: `portable`, the same on every machine, or `native`.

The libraries choose by the processor they find, and other instructions add in another order: other last digits, which
training carries to the first. `portable` holds all of them to one choice. It has to be in force before torch loads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "FROD_NUMERICS"
SETTINGS = ("portable", "native")

PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}


def apply(setting: str | None = None) -> None:
    """Put a setting in force for this process and those that it starts; None: FROD_NUMERICS, else portable.

    Raises
    ------
    ValueError
        There is no such setting.
    """
    setting = setting or os.environ.get(VARIABLE) or SETTINGS[0]
    if setting not in SETTINGS:
        raise ValueError(f"numerics: {setting!r} is none of {', '.join(SETTINGS)}")
    os.environ[VARIABLE] = setting
    for name, value in PORTABLE.items():
        if setting == "portable":
            os.environ[name] = value
        elif os.environ.get(name) == value:
            del os.environ[name]


def facts() -> dict[str, Any]:
    """What a record says of it; the instructions are those that torch chose, None where it is not loaded."""
    import sys

    torch = sys.modules.get("torch")
    return {
        "setting": os.environ.get(VARIABLE, "native"),
        "instructions": torch.backends.cpu.get_cpu_capability() if torch is not None else None,
    }


def comparable(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Why the bits of two trainings need not be the same; None where they should be.

    Parameters
    ----------
    recorded, here : mapping
        Of each what decides it, as `frod.provenance.records.machine` gives it: processor, accelerator, threads, torch,
        and numerics as `facts` has it.
    """
    unknown = {"setting": "native", "instructions": None}  # records older than this module
    sides = [{**side, **(side.get("numerics") or unknown)} for side in (recorded, here)]
    deciding = ["accelerator", "threads", "torch", "setting", "instructions"]
    if sides[0]["setting"] == "native":
        deciding.append("processor")
    differing = [name for name in deciding if sides[0].get(name) != sides[1].get(name)]
    if not differing:
        return None
    return "; ".join(f"{name}: {sides[0].get(name)} there, {sides[1].get(name)} here" for name in differing)
