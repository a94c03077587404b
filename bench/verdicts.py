"""How often the rules of the verdicts err, and what they see, on made-up suites of known truth.

`python -m bench.verdicts` prints the tables of docs/verdicts.md; tests hold every figure against what the rule says.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from frod.claims.against import Quantity, against_each
from frod.evaluation.examples import with_examples
from frod.evaluation.inference import Overall, overall
from frod.evaluation.statistics import Difference
from frod.provenance.run_keys import SUBJECT

SUITES = 2000
TASKS, SEEDS, BASELINES = (4, 8, 20), (2, 3, 5), (1, 2, 4)
MARGIN, BETWEEN, WITHIN = 1.0, 1.0, 2.0
"""Points; standard deviations between the true differences of tasks, and between seeds of one."""
EXAMPLES, BLOCKS, ALIKE, UNLIKE, ONE_SEED = 400, 100, 20.0, 30.0, 0.6
"""One task: its examples; standard deviations, in points, of what all seeds find alike of an example, of what each
finds for itself, and of a seed over all examples."""


class Rates(NamedTuple):
    """Shares of suites."""

    error: float
    """Whose interval lies above the truth."""
    coverage: float
    power: float
    """Whose interval lies above the truth less a margin."""


def rates(found: list[Difference], truth: np.ndarray | float = 0.0, *, margin: float = MARGIN) -> Rates:
    """Of one interval for each suite."""
    low, high = (np.array([getattr(of, end) for of in found]) - truth for end in ("low", "high"))
    return Rates(float((low > 0).mean()), float(((low <= 0) & (high >= 0)).mean()), float((low > -margin).mean()))


def suites(tasks: int, seeds: int, *, skewed: bool = False, paired: bool = False) -> np.ndarray:
    """Differences (suite, task, seed) whose mean over such tasks is zero.

    Parameters
    ----------
    skewed : bool
        A few tasks lose much: the tasks' losses are exponential.
    paired : bool
        Two tasks at a time are of one family, and share four fifths of their variance.
    """
    rng = np.random.default_rng([tasks, seeds, skewed, paired])
    size = (SUITES, tasks, 1)
    centres = BETWEEN * (1 - rng.exponential(size=size) if skewed else rng.normal(size=size))
    if paired:
        shared = np.repeat(rng.normal(0, BETWEEN, (SUITES, tasks // 2, 1)), 2, axis=1)
        centres = 0.8**0.5 * shared + 0.2**0.5 * centres
    return centres + rng.normal(0, WITHIN, (SUITES, tasks, seeds))


def judged(data: np.ndarray) -> list[Overall]:
    """Each suite by the project's own code."""
    return [overall({str(t): dict(enumerate(of)) for t, of in enumerate(suite)}) for suite in data.tolist()]


@cache
def over_tasks(tasks: int, seeds: int, *, skewed: bool = False, paired: bool = False) -> Rates:
    """The rule of the verdict: tasks at random."""
    return rates([of.deciding for of in judged(suites(tasks, seeds, skewed=skewed, paired=paired))])


@cache
def these_tasks(tasks: int, seeds: int) -> Rates:
    """Tasks fixed; the seeds of some vary four times as much as those of others."""
    rng = np.random.default_rng([tasks, seeds])
    spread = WITHIN * np.geomspace(0.5, 2, tasks)[:, None]
    centres = rng.normal(0, BETWEEN, (tasks, 1))
    found = judged(centres + rng.normal(size=(SUITES, tasks, seeds)) * spread)
    return rates([of.fixed for of in found], centres.mean())


@cache
def by_family(tasks: int, seeds: int) -> Rates:
    """Families at random, of two tasks each."""
    family = {str(t): str(t // 2) for t in range(tasks)}
    return rates([of.over_families(family) for of in judged(suites(tasks, seeds, paired=True))])


@cache
def spreads(tasks: int, seeds: int) -> Rates:
    """The ratio of two standard deviations; power: of one that is half the other."""
    rng = np.random.default_rng([tasks, seeds, 2])
    ours, other = (rng.normal(size=(SUITES, tasks, seeds)).std(axis=-1, ddof=1) for _ in range(2))
    return rates([of.deciding for of in judged(np.log(other / ours)[..., None])], margin=math.log(2))


def blocks(seeds: int) -> np.ndarray:
    """Differences on one task (suite, seed, block of examples), whose mean is zero over such seeds and examples."""
    rng = np.random.default_rng([seeds, EXAMPLES])
    shrunk = (EXAMPLES / BLOCKS) ** 0.5
    alike = rng.normal(0, ALIKE / shrunk, (SUITES, 1, BLOCKS))
    unlike = rng.normal(0, UNLIKE / shrunk, (SUITES, seeds, BLOCKS))
    return alike + unlike + rng.normal(0, ONE_SEED, (SUITES, seeds, 1))


@cache
def one_task(seeds: int) -> Rates:
    """The rule of one task: seeds and test examples at random; power at three margins, as one task shows little."""
    data = blocks(seeds)
    means = data.mean(axis=2).tolist()
    return rates([with_examples(dict(enumerate(m)), of) for m, of in zip(means, data)], margin=3 * MARGIN)


class AgainstBaselines(NamedTuple):
    """Shares of suites, of 8 tasks and 3 seeds."""

    shown: float
    """Found better than every one, where it is as good as one of them and far better than the others."""
    contradicted: float
    """Found worse than one, where all are as good."""
    power: float
    """Found better than every one, where it is two margins better than each."""


@cache
def against_baselines(methods: int) -> AgainstBaselines:
    """Better than every one of so many methods, without correction, or worse than one, after Holm."""
    rng = np.random.default_rng(methods)
    names = [f"baseline_{k}" for k in range(methods)]
    evidence = SimpleNamespace(others=names, peft_baselines=names)
    count = SUITES // 2
    data = rng.normal(0, WITHIN, (count, 8, methods + 1, 3)) + rng.normal(0, BETWEEN, (count, 8, methods + 1, 1))
    far, near = np.array([0.0] + [-50.0] * (methods - 1)), np.full(methods, -2 * MARGIN)
    counted = np.zeros(3)
    for suite in data:
        for column, shift in ((0, far), (1, 0 * far), (2, near)):
            moved = suite + np.append(0, shift)[:, None]
            values = {
                (f"{t}", ""): {name: dict(enumerate(of)) for name, of in zip([SUBJECT, *names], task)}
                for t, task in enumerate(moved.tolist())
            }
            found = against_each(evidence, Quantity(label="", values=values, more_is_better=True))  # type: ignore[arg-type]
            counted[column] += any(of.worse for of in found) if column == 1 else all(of.better for of in found)
    return AgainstBaselines(*(float(share) for share in counted / count))


def grid(rule: Callable[[int, int], tuple[float, ...]]) -> Iterator[tuple[int, int, tuple[float, ...]]]:
    """A rule at every number of tasks and seeds."""
    yield from ((tasks, seeds, rule(tasks, seeds)) for tasks in TASKS for seeds in SEEDS)


def tables() -> list[str]:
    """The tables of docs/verdicts.md, in Markdown."""

    def all_of(tasks: int, seeds: int) -> tuple[float, ...]:
        apart = over_tasks(tasks, seeds)
        alike, skewed = over_tasks(tasks, seeds, paired=True), over_tasks(tasks, seeds, skewed=True)
        fixed, family, ratio = (rule(tasks, seeds) for rule in (these_tasks, by_family, spreads))
        return (*apart, skewed.error, alike.coverage, family.coverage, fixed.coverage, ratio.error, ratio.power)

    head = ["tasks", "seeds", "error", "coverage", "power", "error, skewed", "coverage, tasks in pairs", "by family"]
    head += ["these tasks alone", "spread: error", "spread: power"]
    return [
        *_lines(head, [[str(tasks), str(seeds), *_shares(of)] for tasks, seeds, of in grid(all_of)]),
        "",
        *_lines(["seeds", "error", "coverage", "power"], [[str(n), *_shares(one_task(n))] for n in SEEDS]),
        "",
        *_lines(
            ["baselines", "error of shown", "error of contradicted", "power"],
            [[str(n), *_shares(against_baselines(n))] for n in BASELINES],
        ),
    ]


def _shares(of: tuple[float, ...]) -> list[str]:
    return [f"{share:.3f}" for share in of]


def _lines(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


if __name__ == "__main__":
    print("\n".join(tables()))
