"""Choose learning rates on validation: a grid of the same size for every method, one seed that no suite uses.

    snakemake --config suite=smoke data bases
    python bench/rates.py smoke            # or: minilm sst2, for some of a suite's tasks

The test split is not opened. Prints the best trial of each task and method and writes every trial to
bench/results/rates-SUITE.json; the suite's rates are these, copied by hand. An interrupted search goes on.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SEED = 100
HEAD = 5e-3  # of the head beside a trained body; the probe searches its own
GRID = {  # backbone -> kind of method -> the rates tried; for FRoD both lambda's and S's
    "minilm": {
        "full_ft": (1e-4, 2e-4, 5e-4),
        "peft": (1e-3, 2e-3, 5e-3),
        "frod": (5e-4, 1e-3, 2e-3),
        "linear_probe": (5e-3, 2e-2, 5e-2),
    },
    "digit_vit": {
        "full_ft": (5e-4, 1e-3, 2e-3, 5e-3),
        "peft": (2e-3, 5e-3, 1e-2, 2e-2),
        "frod": (1e-2, 2e-2, 5e-2, 1e-1),
        "linear_probe": (1e-2, 2e-2, 5e-2, 1e-1),
    },
    "micro_llama": {
        "full_ft": (5e-4, 1e-3, 2e-3, 5e-3),
        "peft": (2e-3, 5e-3, 1e-2, 2e-2),
        "frod": (5e-3, 1e-2, 2e-2, 5e-2),
        "linear_probe": (1e-2, 2e-2, 5e-2, 1e-1),
    },
}


def settings(backbone: str, kind: str) -> list[dict[str, float]]:
    """The rates to try, as a suite writes them."""
    rates = GRID[backbone][kind]
    if kind == "linear_probe":
        return [{"lr_head": rate} for rate in rates]
    if kind == "frod":
        return [{"lr_scale": rate, "lr_rotation": rate, "lr_head": HEAD} for rate in rates]
    return [{"lr": rate, "lr_head": HEAD} for rate in rates]


def trial(run, workflow) -> float:
    """Train one run and return its primary metric on validation, after the last step."""
    import frod
    from frod import backbones
    from frod.tasks import arrays
    from frod.training import run as stage
    from frod.training.seeds import stream

    data = ROOT / workflow.params.paths.data
    task, model_folder = data / "tasks" / run.task / run.backbone, data / "models" / run.backbone
    manifest = arrays.load_manifest(task)
    splits = {split: arrays.load_split(task, split) for split in ("train", "validation")}
    model = backbones.load(model_folder, num_classes=manifest["num_classes"], seed=stream(run.seed, "head"))
    basis = data / "bases" / run.backbone / workflow.basis_of(run.backbone)
    with tempfile.TemporaryDirectory() as folder:
        outcome = stage.train(
            run,
            model,
            splits | {"test": splits["validation"]},
            head=backbones.head_modules(model),
            basis=frod.Basis.load(basis) if run.tuner.kind == "frod" else None,
            metric_names=manifest["metrics"],
            regression=False,
            checkpoint=Path(folder) / "checkpoint.pt",
            checkpoint_seconds=1e9,
            fingerprint="",
        )
    return float(outcome.history[f"validation_{manifest['metrics'][0]}"].iloc[-1])


def main(suite: str, *tasks: str) -> None:
    """Run the grid of a suite, for all its tasks or those named."""
    from frod.config import Rates, load
    from frod.training.loop import Diverged
    from frod.training.run import deterministic

    deterministic(1)
    workflow = load(yaml.safe_load((ROOT / "params.yaml").read_text()) | {"suite": suite}, ROOT)
    out = ROOT / "bench" / "results" / f"rates-{suite}.json"
    trials = json.loads(out.read_text()) if out.exists() else []
    for run in [run for run in workflow.runs if run.seed == workflow.suite.seeds[0]]:
        if tasks and run.task not in tasks:
            continue
        kind = run.tuner.kind
        for rates in settings(run.backbone, kind):
            setting = Rates(**rates)
            budget = run.training.model_dump(mode="json")
            key = {"task": run.task, "method": run.method, "rates": setting.model_dump(exclude_none=True)}
            key |= {"tuner": run.tuner.model_dump(exclude={"label", "plan"}), "training": budget, "seed": SEED}
            if any(key == {name: one[name] for name in key} for one in trials):
                continue
            try:
                value = trial(run.model_copy(update={"rates": setting, "seed": SEED}), workflow)
            except Diverged as error:
                print(error, file=sys.stderr)
                value = None
            trials.append(key | {"validation": value})
            out.write_text(json.dumps(trials, indent=1) + "\n")
            print(run.task, run.method, key["rates"], value, flush=True)
    for task, method in dict.fromkeys((one["task"], one["method"]) for one in trials):
        of_both = [one for one in trials if (one["task"], one["method"]) == (task, method)]
        best = max(of_both, key=lambda one: -1 if one["validation"] is None else one["validation"])
        print(f"best  {task:20} {method:14} {best['validation']:.3f}  {best['rates']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
