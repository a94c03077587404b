"""Losses under perturbation: the plan says which rows sharpness.parquet has, so that no seed is left out of a mean.

The losses themselves only the adapters tell.
"""

from __future__ import annotations

from pathlib import Path

from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.provenance.run_keys import RunKey

# Of frod.runs.sharpness, which would import torch: what an audit waits for. A test holds that they are the same.
DIRECTIONS, STEPS, EXAMPLES = 3, (-0.05, 0.05), 256
COLUMNS = ("seed", "direction", "step", "examples")
ROW = "seed {}, direction {}, step {}, {} examples"


def check(study: Study, findings: Findings) -> None:
    """Hold seeds, directions, steps and the number of examples of each table."""
    import pyarrow.parquet as pq

    places = [(0, 0.0), *((direction, step) for direction in range(1, DIRECTIONS + 1) for step in STEPS)]
    tables: dict[Path, list[RunKey]] = {}
    for key in study.runs:
        tables.setdefault(study.folder(key).with_name("sharpness.parquet"), []).append(key)
    for path, keys in tables.items():
        if not path.is_file():
            continue
        with findings.guard(path, "its rows"):
            examples = min(len(study.split(keys[0].task, keys[0].backbone, "validation")), EXAMPLES)
            seeds = [key.seed for key in keys if not study.undefined(key)]  # one that diverged has no row
            planned = [(seed, *place, examples) for seed in seeds for place in places]
            table = pq.read_table(path)
            there = zip(*(table[name].to_pylist() for name in COLUMNS))
            expected, found = ({"rows": [ROW.format(*row) for row in sorted(side)]} for side in (planned, there))
            findings.equal(path, "by the plan", expected, found, remedy="delete it and run `snakemake`")
            findings.checked["losses under perturbation"] += len(planned)
