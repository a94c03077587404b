"""What test_processes.py starts in two processes: trainings one after the other, by one strategy and the other.

python processes_worker.py FOLDER
"""

import contextlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import processes_project as project
import torch
from torch import distributed

from frod.method.wrappers import is_sharded
from frod.training import launch
from frod.training.processes import Processes
from frod.training.run import deterministic

STOP = 9  # steps; an epoch has 7


class Stopped(Exception):
    pass


def stop(model, step):
    if step == STOP:
        raise Stopped


def interrupted(folder, out, team):
    """A training with dropout, undisturbed and cut in two: the generators of both processes must come back."""
    whole(folder, f"{out}-whole", team)
    cut(folder, f"{out}-cut", team)
    assert whole(folder, f"{out}-cut", team).resumed_from == STOP


def whole(folder, out, team):
    return project.train(folder / "dropout", project.long_run(), folder / out, team)[1]


def cut(folder, out, team):
    with contextlib.suppress(Stopped):
        project.train(folder / "dropout", project.long_run(), folder / out, team, on_step=stop, seconds=1e-9)
    distributed.barrier()  # the first process writes the checkpoint, the other would read the one before


def damaged(folder, out, team):
    """A training cut short, a piece of its checkpoint altered, and pieces of a next one left half-written."""
    cut(folder, out, team)
    if team.is_main:
        pieces = folder / out / f"checkpoint.step-{STOP}"
        (second,) = pieces.glob("shard-00002-*")
        content = bytearray(second.read_bytes())
        content[-1] ^= 1
        second.write_bytes(content)
        shutil.copytree(pieces, pieces.with_suffix(f".step-{STOP + 1}"))
    distributed.barrier()
    (folder / out / f"resumed-{team.rank}.txt").write_text(str(whole(folder, out, team).resumed_from))


def diverging(folder, out, team):
    """One process's weights become nan; what each of them says of it."""

    def poison(model, step):
        if step == 2 and team.rank == 1:
            with torch.no_grad():
                weight = model.classifier.weight
                (weight.to_local() if is_sharded(weight) else weight).fill_(torch.nan)

    _, outcome = project.train(folder, project.run("full_ft"), folder / out, team, on_step=poison)
    (folder / out / f"said-{team.rank}.txt").write_text(outcome.undefined)


def main(folder):
    if not launch.is_worker():
        return launch.torchrun([sys.executable, *sys.argv], 2, 2)
    assert not launch.start(2, 2)
    team = Processes.join(sharded=False)
    deterministic(1)
    by_strategy(folder, "ddp", team)
    by_strategy(folder, "sharded", replace(team, sharded=True))
    damaged(folder, "sharded-damaged", replace(team, sharded=True))


def by_strategy(folder, strategy, team):
    for case, one in project.cases().items():
        model, _ = project.train(folder, one, folder / f"{strategy}-{case}", team)
        assert all(is_sharded(p) == team.sharded for p in model.parameters())
    interrupted(folder, f"{strategy}-interrupted", team)
    diverging(folder, f"{strategy}-diverging", team)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
