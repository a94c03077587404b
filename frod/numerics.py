"""Which instructions of the processor compute: `portable`, the same digits on every machine, or `native`, the quickest.

The numerical libraries choose their kernels by the processor that they find. Other kernels add in another order, and
training carries the last digit forward to the first. `portable` holds every library to kernels that x86 processors of
all makers have had since 2015 (AVX2). They are chosen when the libraries load, so `apply` comes before torch and numpy.

MKL is the difficult one: only its branch COMPATIBLE is the same on processors of every maker, and it is slow. So the
matrix products, most of a training, go to numpy's OpenBLAS (`frod.openblas`), and the rest stays with MKL.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

VARIABLE = "FROD_NUMERICS"
SETTINGS = ("portable", "native")
SAME = "portable, AVX2"  # what `facts` says on every processor where the digits are the same

PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_CBWR": "COMPATIBLE",  # decompositions, and elementary functions of arrays
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's own kernels
}

_before: dict[str, str | None] = {}  # what the variables were before `apply` set them


def apply(setting: str | None = None) -> None:
    """Put a setting in force for this process, before torch and numpy load, and for those that it starts.

    By default it is what FROD_NUMERICS says, else portable. A processor without AVX2 goes on with what it has; `facts`
    says so. ValueError where there is no such setting.
    """
    setting = setting or os.environ.get(VARIABLE) or SETTINGS[0]
    if setting not in SETTINGS:
        raise ValueError(f"{VARIABLE}: {setting!r} is none of {', '.join(SETTINGS)}")
    os.environ[VARIABLE] = setting
    if setting == "portable" and has_avx2():
        for name, value in PORTABLE.items():
            _before.setdefault(name, os.environ.get(name))
            os.environ[name] = value
        return
    for name, before in _before.items():
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
    _before.clear()


def hold(threads: int) -> None:
    """Hold torch to the setting in force, and give it and numpy so many threads: before anything is computed."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads, user_api="blas")
    if in_force() == "portable" and has_avx2():
        from frod import openblas

        openblas.install()


def in_force() -> str:
    """The setting of this process: `native` where none was applied."""
    return os.environ.get(VARIABLE, "native")


def facts() -> str:
    """What a record says: the setting, and where torch took part, the instructions that it chose: `portable, AVX2`."""
    torch = sys.modules.get("torch")
    return in_force() if torch is None else f"{in_force()}, {torch.backends.cpu.get_cpu_capability()}"


def setting_of(environment: Mapping[str, Any]) -> str:
    """The setting that a record's environment names; records older than the settings were made natively."""
    return str(environment.get("numerics", SETTINGS[1])).split(",")[0]


def differing(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Say why numbers need not have the same digits on both sides; None: they have to.

    Both sides are `numerics` and `processor` of an environment of `frod.provenance.records`.
    """
    if recorded.get("numerics") != here.get("numerics"):
        return f"numerics: {here.get('numerics')} here, {recorded.get('numerics', 'native')} recorded"
    if here.get("numerics") != SAME and here["processor"] != recorded["processor"]:
        return f"processor: {here['processor']} here, {recorded['processor']} recorded"
    return None


def comparable(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Say why two trainings need not be the same to the bit; None: they have to.

    Both sides are as `frod.provenance.records.machine` gives them: also accelerator, threads and torch.
    """
    for name in ("accelerator", "threads", "torch"):
        if recorded.get(name) != here.get(name):
            return f"{name}: {here.get(name)} here, {recorded.get(name)} recorded"
    return differing(recorded, here)


@cache
def has_avx2() -> bool:
    """Whether the processor has the instructions that `portable` asks for; asked of the system, not of a library."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(40))  # PF_AVX2_INSTRUCTIONS_AVAILABLE
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
