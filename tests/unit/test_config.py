"""Parameters: what is wrong is refused before any job starts, with the field, its value and what would be right."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from frod import config

ROOT = Path(__file__).parents[2]
SUITE = {
    "title": "t",
    "description": "d",
    "rates_chosen": "by hand",
    "seeds": [0, 1],
    "methods": {"full_ft": {"kind": "full_ft"}, "frod": {"kind": "frod", "sparse_rate": 0.01}},
    "experiments": [
        {
            "tasks": ["digits"],
            "backbone": "digit_vit",
            "training": {"epochs": 2},
            "rates": {
                "full_ft": {"lr": 1e-3, "lr_head": 1e-3},
                "frod": {"lr_scale": 1e-3, "lr_rotation": 1e-3, "lr_head": 1e-3},
            },
        }
    ],
}


def load(tmp_path, params=None, suite=None):
    folder = tmp_path / "workflow" / "suites"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(yaml.safe_dump(suite or SUITE, sort_keys=False))
    return config.load({"suite": "small"} | (params or {}), tmp_path)


def changed(path, value):
    """The suite with one value set; path is dotted, numbers index lists."""
    suite = copy.deepcopy(SUITE)
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    place = suite
    for part in parents:
        place = place[part]
    place[last] = value
    return suite


def test_runs_are_the_product_of_tasks_methods_and_seeds(tmp_path):
    workflow = load(tmp_path)
    assert [run.key for run in workflow.runs] == [
        f"small/digits/digit_vit/{method}/seed-{seed}" for method in ("full_ft", "frod") for seed in (0, 1)
    ]


def test_training_is_merged_from_params_suite_and_experiment(tmp_path):
    suite = changed("training", {"epochs": 7, "batch_size": 8})
    run = load(tmp_path, {"training": {"warmup": 0.5, "batch_size": 4}}, suite).runs[0]
    assert (run.training.warmup, run.training.batch_size, run.training.epochs) == (0.5, 8, 2)


def test_every_method_of_a_seed_has_the_same_training(tmp_path):
    budgets = {run.training.model_dump_json() for run in load(tmp_path).runs if run.seed == 0}
    assert len(budgets) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trainning": {}}, "params.yaml: trainning: unknown key; did you mean 'training'?"),
        ({"training": {"epoch": 3}}, "params.yaml: training.epoch: unknown key; did you mean 'epochs'?"),
        ({"training": {"epochs": "many"}}, "training.epochs: .*, is 'many'"),
        ({"training": {"batch_size": 32, "accumulation": 5}}, "training: batch_size 32 is not a multiple"),
        ({"suite": "smal"}, "did you mean 'small'"),
        ({"basis": None}, "params.yaml: basis"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path, params, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, params)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("seeds", [1, 1], "seeds: .* repeats a seed"),
        ("seeds", [], "seeds"),
        ("methods.frod", {"kind": "frod"}, "methods.frod: sparse_rate is None"),
        ("methods.full_ft", {"kind": "full_ft", "sparse_rate": 0.1}, "sparse_rate is 0.1, kind is full_ft"),
        ("methods.full_ft", {"kind": "full_ft", "plan": "auto"}, "plan is auto, kind is full_ft"),
        ("methods.frod", {"kind": "frod", "sparse_rate": 0.1, "plan": "quick"}, "methods.frod.plan"),
        ("methods.frod", {"kind": "peft", "config": "X", "arguments": {"target_modules": []}}, "target_modules"),
        ("experiments.0.rates.frod", {"lr": 1e-3, "lr_head": 1e-3}, r"experiments.0.rates.frod: has \['lr'"),
        ("experiments.0.rates", {"full_ft": {"lr": 1e-3, "lr_head": 1e-3}}, "give the rates of each method"),
        ("experiments.0.training", {"epochs": -1}, "experiments.0.training.epochs"),
        ("experiments.0.training", {"epoch": 1}, "experiments.0.training.epoch: unknown key; did you mean 'epochs'"),
        ("experiments.0.tasks", ["digits", "digits"], "stands twice"),
        ("experiments.0.tasks", ["../../etc"], "experiments.0.tasks.0"),
    ],
)
def test_a_wrong_suite_is_named(tmp_path, path, value, message):
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, suite=changed(path, value))
    assert "small.yaml" in str(error.value)


def test_params_yaml_states_every_default(tmp_path):
    """params.yaml is the documentation of the defaults: it must have each of them, with the value in the code."""
    written = config.Params.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text()))
    assert written == config.Params()
    assert re.findall(r"^  (\w+):", (ROOT / "params.yaml").read_text(), re.M) == [
        name
        for field in config.Params.model_fields.values()
        if isinstance(field.default, config.Entry)
        for name in type(field.default).model_fields
    ]


@pytest.mark.parametrize("suite", sorted((ROOT / "workflow" / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_suites_in_the_repository_are_valid(suite):
    assert config.load({"suite": suite.stem}, ROOT).runs


@pytest.mark.parametrize("suite", ["smoke", "minilm"])
def test_a_suite_s_rates_are_the_best_of_the_recorded_trials(suite):
    """What the suite says of its rates is true: the best on validation, out of as many trials for every method."""
    by_run = {}
    for trial in json.loads((ROOT / "bench" / "results" / f"rates-{suite}.json").read_text()):
        by_run.setdefault((trial["task"], trial["method"]), []).append(trial)
    workflow = config.load({"suite": suite}, ROOT)
    for experiment in workflow.suite.experiments:
        searched = experiment.tasks[0]  # the others of an experiment take its rates
        assert len({len(by_run[searched, method]) for method in workflow.suite.methods}) == 1
        for method in workflow.suite.methods:
            best = max(by_run[searched, method], key=lambda trial: trial["validation"])
            run = workflow.find(searched, experiment.backbone, method, workflow.suite.seeds[0])
            assert run.rates.model_dump(exclude_none=True) == best["rates"], run.key
            assert run.training.model_dump(mode="json") == best["training"], run.key
            assert best["seed"] not in workflow.suite.seeds
