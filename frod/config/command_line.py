"""The command line that makes a suite's files again, for remedies: it says what params.yaml does not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from frod.config import safe_yaml
from frod.config.settings import Params

PARAMS = Path("params.yaml")


def snakemake(params: Params, target: str = "") -> str:
    """Return the command that makes a target, or all, in the working directory, for params that were loaded there."""
    usual: dict[str, Any] = {"protocol": Params().protocol}
    with contextlib.suppress(ValueError):  # missing or wrong: it names no suite
        usual |= {"suite": Params().suite} | safe_yaml.read(PARAMS)
    settings = {"suite": params.suite, "protocol": params.protocol}
    other = [f"{name}={value}" for name, value in settings.items() if value != usual.get(name)]
    return " ".join(["snakemake", *([target] if target else []), *(["--config", *other] if other else [])])


def near(folder: Path, file: str) -> str:
    """Suggest the other folder of the same suite that has a file: results/SUITE is taken for reports/SUITE."""
    found = [path.parent for path in Path().glob(f"*/{Path(*folder.parts[1:])}/{file}")]
    return f"; did you mean {found[0]}?" if found else ""


def of_folder(folder: Path, target: str = "") -> str:
    """Return the command for the suite that a folder of results or reports is called after."""
    released = folder.name == "released"
    suite = folder.parent.name if released else folder.name
    return snakemake(Params(suite=suite, protocol="released" if released else "audited"), target)
