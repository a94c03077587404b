"""Which instructions of the processor the numerical libraries use: `portable`, the same on every machine, or `native`.

The libraries choose by the processor they find, and other instructions add in another order: other last digits, which
training carries to the first. `portable` holds all of them to the same choice. It has to be in force before torch loads.
"""

from __future__ import annotations

import os
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
