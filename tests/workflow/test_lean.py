"""Each stage imports the heavy libraries that it uses, and no other: without a warm process every job pays for them.

What timm and transformers import themselves is theirs.
"""

import sys

import pytest

HEAVY = {
    "torch", "torch._dynamo", "transformers", "timm", "peft", "accelerate", "pandas", "pyarrow", "sklearn", "scipy",
    "mlflow", "datasets", "matplotlib", "snakemake", "dvc", "jinja2", "PIL",
    "torch.distributed.launcher", "torch.distributed.elastic", "torch.distributed.checkpoint",
}  # fmt: skip
TOLD = f"""\
import atexit, sys
import frod.cli.main
atexit.register(lambda: print("loaded:", *sorted({HEAVY!r} & set(sys.modules))))
frod.cli.main.main()
"""
RUN = "results/tiny/digits/digit_vit/frod"
TASK = "data/tasks/digits/digit_vit"


def commands(project):
    """Command lines of stages over finished results, and what they may load."""
    trials = [word for i in (0, 1) for word in ("--trial", f"{RUN}/tune/trial-{i}-seed-100.json")]
    trained = {"torch", "torch._dynamo", "timm", "pandas", "pyarrow", "PIL"}
    return {
        "tune": (["tune", *trials, "--out", "lean/rates.json"], set()),
        "evaluate": (["evaluate", "--run", f"{RUN}/seed-0", "--task", TASK], {"pandas", "pyarrow"}),
        "train": (["train", *project.training(f"{RUN}/seed-0"), "--out", "lean/run"], trained),
    }


@pytest.mark.parametrize("stage", ["tune", "evaluate", "train"])
def test_a_stage_loads_what_it_uses(finished, stage):
    command, may = commands(finished)[stage]
    finished.path("lean").mkdir(exist_ok=True)
    said = finished.run(sys.executable, "-c", TOLD, *command, FROD_TRACKING="off").stdout
    loaded = set(said.splitlines()[-1].removeprefix("loaded:").split())
    assert loaded <= may, sorted(loaded - may)
