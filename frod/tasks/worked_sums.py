"""Generated sums of three numbers, worked out in two steps: a generation for the micro Llama. Synthetic.

    3 + 4 + 5 =  ->  3 + 4 = 7 7 + 5 = 12

Each step is a sum as the micro Llama knows them from its pre-training; that a sum is worked out in steps it does not.
The first step decides the split, by the same draw as of `frod.tasks.sums`: its sum was never seen in pre-training.
"""

from __future__ import annotations

import random

import numpy as np

from frod.tasks import sums
from frod.tasks.examples import Examples, Source
from frod.tasks.generation import Exercise, references
from frod.tasks.registry import Generator, TaskSpec


def read(source: Generator, task: TaskSpec, *, seed: int) -> Source:
    """Generate the exercises of all splits; ValueError where an option is not known, or too small.

    Options: `operands`, numbers to add are 0 to operands - 1, and so is the sum of the first two; `rows` by split.
    """
    if set(source.options) != {"operands", "rows"} or not isinstance(source.options["operands"], int):
        raise ValueError(f"source.options {source.options} of the generator worked_sums: are operands and rows")
    operands, rows = source.options["operands"], source.options["rows"]
    pairs = {split: [(a, b) for a, b in of if a + b < operands] for split, of in sums.divide(operands, seed).items()}
    parts = {split: _exercises(pairs[split], operands, f"{seed}/{split}", count, task) for split, count in rows.items()}
    facts = {"what": "generator worked_sums, synthetic", "revision": f"seed {seed}", "files": {}}
    return Source(splits=parts, facts=facts)


def _exercises(pairs: list[tuple[int, int]], operands: int, stream: str, rows: int, task: TaskSpec) -> Examples:
    rng = random.Random(f"{stream}/worked")
    exercises = []
    for _ in range(rows):
        a, b = sums.either_way(rng, rng.choice(pairs))
        c = rng.randrange(operands)
        worked = f"{a} + {b} = {a + b} {a + b} + {c} = {a + b + c}"
        exercises.append(Exercise({"question": f"{a} + {b} + {c} ="}, worked))
    assert task.read is not None, "of kind generation"
    labels = references([one.answer for one in exercises], task.read)
    return Examples(inputs=exercises, labels=labels, ids=np.arange(rows, dtype=np.int64))
