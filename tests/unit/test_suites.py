"""Suites: which runs and trials one plans; what is wrong is refused, with the field and its value."""

import copy
import json
from pathlib import Path

import by_hand
import pytest
from small_suite import BOX, GRID, SUITE, changed, load

from frod import config

ROOT = Path(__file__).parents[2]


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
    ("path", "value", "message"),
    [
        ("seeds", [1, 1], "seeds: .* repeats a seed"),
        ("seeds", [], "seeds"),
        ("seeds", [True], "seeds.0: Input should be a valid integer, is True"),
        ("seeds", ["1"], "seeds.0: Input should be a valid integer, is '1'"),
        ("seeds", [1.0], "seeds.0: Input should be a valid integer, is 1.0"),
        ("margin", "1", "margin: Input should be a valid number, is '1'"),
        ("experiments.0.rates.full_ft.lr", "0.1", "experiments.0.rates.full_ft.lr: .* valid number, is '0.1'"),
        ("methods.frod", {"kind": "frod", "sparse_rate": None}, "methods.frod: sparse_rate is None"),
        ("methods.x", {"label": "X"}, "methods.x: has no kind, and is none of full_ft, frod"),
        ("title", " ", "small.yaml: title: is ' '; give it a word"),
        ("tasks", {"mine": {"title": ""}}, "small.yaml: tasks.mine: title: is ''; give it a word"),
        ("backbones", {"mine": {"title": "\t"}}, "small.yaml: backbones.mine: title: is .*; give it a word"),
        ("methods.frod", {"label": "\u200d"}, "small.yaml: methods.frod.label: is .*; give it a word"),
        ("methods.frod", {"label": "\u200b"}, r"small.yaml: methods.frod.label: holds U\+200B ZERO WIDTH SPACE"),
        (
            "methods.frod",
            {"label": "Full fine-tuning"},
            "methods.frod.label: .*, which is what full_ft is called; choose",
        ),
        ("methods.frod", {"label": "full_ft"}, "methods.frod.label: is 'full_ft', which is what full_ft is called"),
        (
            "methods.x",
            {"kind": "full_ft", "label": "F RoD"},
            "methods.x.label: is 'F RoD', which is what frod is called",
        ),
        ("methods.frod", {"match_parameters": "frod"}, "match_parameters are for kind peft"),
        ("methods.full_ft", {"kind": "peft", "config": "C", "match_parameters": "x"}, "'x' is no method of kind frod"),
        ("experiments.0.methods", {"lora": {}}, r"methods: \['lora'\] are no methods of the suite"),
        ("experiments.0.methods", {"full_ft": {"kind": "frod"}}, "full_ft.kind: is frod, but full_ft in the suite"),
        ("tune", {"seeds": [1, 5]}, r"tune.seeds: \[1\] is among the seeds"),
        ("tune", {"seeds": [5, 5]}, "tune.seeds: .* repeats a seed"),
        ("tune", {"trials": 4, "sampler": {}}, "tune.trials: is for a box, and no experiment has one"),
        ("tune", {"sampler": {"kind": "sobol"}}, "tune.sampler.kind: Input should be 'halton'"),
        ("experiments.0.grid", GRID | {"frod": GRID["frod"][:1]}, "the same number for each"),
        ("experiments.0.grid", GRID | {"frod": 2 * GRID["frod"][:1]}, "grid.frod: repeats a trial"),
        ("experiments.0.grid", {"full_ft": GRID["full_ft"]}, "give the grid of each method"),
        ("experiments.0.rates", {}, "give rates, or a box or a grid"),
        ("experiments", [], "give experiments, or suites to include"),
        ("include", ["smal"], "did you mean 'small'"),
        (
            "resources",
            {"checkpoint_seconds": 9},
            "resources.checkpoint_seconds: is alike for all; set it in params.yaml",
        ),
        ("resources", {"processes": 4, "gpu": 2}, "processes is 4, gpu is 2: each process takes a GPU of its own"),
        ("resources", {"processes": 3, "nodes": 2}, "processes is 3, nodes is 2: give a multiple, for all nodes"),
        ("resources", {"processes": 2, "nodes": 2, "gpu": 3}, "gpu is 3, nodes is 2: give a multiple, for all nodes"),
        ("resources", {"sharded": True}, "sharded is true, processes is 1: give the processes"),
        ("resources", {"gpus": 1}, "small.yaml: resources.gpus: unknown key; did you mean 'gpu'"),
        ("methods.full_ft", {"kind": "full_ft", "sparse_rate": 0.1}, "sparse_rate is 0.1, kind is full_ft"),
        ("methods.full_ft", {"kind": "full_ft", "plan": "auto"}, "plan is auto, kind is full_ft"),
        ("methods.frod", {"kind": "frod", "sparse_rate": 0.1, "plan": "quick"}, "methods.frod.plan"),
        ("methods.frod", {"kind": "peft", "config": "X", "arguments": {"target_modules": []}}, "target_modules"),
        (
            "methods.frod",
            {"kind": "peft", "config": "X", "arguments": {"layers_to_transform": [0]}},
            "set alike for every",
        ),
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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("frod", {"lr_head": [1e-3, 1e-2]}, r"box.frod: has \['lr_head'\], kind frod takes \['lr_head', 'lr_rotation'"),
        ("frod", None, "give the box of each method"),
        ("full_ft.lr", [1e-2, 1e-4], r"box.full_ft.lr: is \[0.01, 0.0001\]; give the lower end, then a higher one"),
        ("full_ft.lr", [1e-2, 1e-2], "give the lower end, then a higher one"),
        ("full_ft.lr", [0.0, 1e-2], "box.full_ft.lr.0: Input should be greater than 0"),
        ("full_ft.lr", [1e-2], "box.full_ft.lr: List should have at least 2 items"),
        (
            "full_ft.lr",
            [1e-4, 1e-3],
            "box: spans full_ft.lr x 10, frod.lr_scale x 100, frod.lr_rotation x 100, highest",
        ),
    ],
)
def test_a_wrong_box_is_named(tmp_path, path, value, message):
    suite = changed("experiments.0.box", copy.deepcopy(BOX))
    *parents, last = path.split(".")
    place = suite["experiments"][0]["box"]
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(ValueError, match=rf"small.yaml: experiments.0.*{message}"):
        load(tmp_path, suite=suite)


def test_a_box_too_narrow_for_its_trials_and_one_beside_a_grid_are_refused(tmp_path):
    narrow = {method: {name: [1e-3, 1.02e-3] for name in box} for method, box in BOX.items()}
    with pytest.raises(ValueError, match=r"small.yaml: experiments.0.box.full_ft: is too narrow for 50 points"):
        load(tmp_path, suite=changed("experiments.0.box", narrow) | {"tune": {"trials": 50}})
    suite = changed("experiments.0.box", BOX)
    suite["experiments"][0]["grid"] = GRID
    with pytest.raises(ValueError, match=r"experiments.0: box and grid: are both there"):
        load(tmp_path, suite=suite)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "full_ft"}, "methods.frod.kind: is full_ft, and frod is known as frod; choose another name"),
        ({"kind": "peft", "config": "LoraConfig"}, "methods.frod.kind: is peft, and frod is known as frod"),
    ],
)
def test_a_known_name_is_of_no_other_kind(tmp_path, settings, message):
    suite = changed("methods.frod", settings)
    suite["experiments"][0]["rates"]["frod"] = suite["experiments"][0]["rates"]["full_ft"]
    with pytest.raises(ValueError, match=message):
        load(tmp_path, suite=suite)


def test_errors_of_keys_and_of_values_are_said_at_once(tmp_path):
    """They do not depend on each other, and a person mends a file in one go; each is named where it stands."""
    suite = changed("training", {"epoch": 7, "batch_size": -8})
    suite |= {"tune": {"training": {"epochs": 0}}, "resources": {"gpus": 1}, "methods": suite["methods"] | {"loar": {}}}
    suite["experiments"][0] |= {"training": {"batch_size": 9, "accumulation": 2, "warmup": 2}, "resources": {"gpu": -1}}
    with pytest.raises(ValueError) as error:
        load(tmp_path, suite=suite)
    named = [line.split(": ")[1] for line in str(error.value).splitlines()]
    assert sorted(named) == [
        "experiments.0.resources.gpu",
        "experiments.0.training.warmup",
        "methods.loar",
        "resources.gpus",
        "training.batch_size",
        "training.epoch",
        "tune.training.epochs",
    ]
    assert str(error.value).endswith("did you mean 'lora'?")
    with pytest.raises(ValueError, match=r"(?s)small.yaml: training.epoch: .*small.yaml: seeds: .* repeats a seed"):
        load(tmp_path, suite=suite | {"seeds": [1, 1]})
    with pytest.raises(ValueError, match=r"experiments.0.training: batch_size 9 is not a multiple of accumulation 2"):
        load(tmp_path, suite=changed("experiments.0.training", {"batch_size": 9, "accumulation": 2}))


@pytest.mark.parametrize("suite", sorted((ROOT / "workflow" / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_suites_in_the_repository_are_valid(suite):
    assert config.load({"suite": suite.stem}, ROOT).runs


def test_a_grid_is_tried_by_every_method_on_a_seed_of_its_own(tmp_path):
    suite = changed("experiments.0.grid", GRID) | {"tune": {"training": {"epochs": 1}}}
    workflow = load(tmp_path, suite=suite)
    assert all(run.rates is None for run in workflow.runs)
    for method, grid in GRID.items():
        trials = workflow.trials_of("digits", "digit_vit", method)
        assert [trial.run.rates.model_dump(exclude_none=True) for trial in trials.values()] == grid
        tried = [(trial.index, trial.run.seed, trial.run.training.epochs) for trial in trials.values()]
        assert tried == [(0, 100, 1), (1, 100, 1)]


def test_every_point_of_a_box_is_tried_with_each_seed_and_more_leave_those_that_are_there(tmp_path):
    """What a finished trial was made from, under its file's name, is in the larger plan to the letter."""
    suite = changed("experiments.0.box", BOX) | {"tune": {"trials": 8, "training": {"epochs": 1}}}
    plans = []
    for tune in ({}, {"trials": 16}, {"seeds": [100, 101]}):
        workflow = load(tmp_path, suite=suite | {"tune": suite["tune"] | tune})
        assert all(run.rates is None for run in workflow.runs)
        plans.append({trial.key: trial.run.resolved() for trial in workflow.trials})
        for method, box in BOX.items():
            for trial in workflow.trials_of("digits", "digit_vit", method).values():
                rates = trial.run.rates.model_dump(exclude_none=True)
                assert trial.box == box and all(box[name][0] <= rate <= box[name][1] for name, rate in rates.items())
    assert [len(plan) for plan in plans] == [2 * 8, 2 * 16, 2 * 8 * 2]
    assert "small/digits/digit_vit/frod/tune/trial-7-seed-100" in plans[0]
    assert all(plan | plans[0] == plan for plan in plans[1:])


def test_the_released_protocol_takes_the_suite_s_rates_and_a_folder_of_its_own(tmp_path):
    suite = changed("experiments.0.grid", GRID)
    workflow = load(tmp_path, {"protocol": "released"}, suite)
    assert not workflow.trials
    assert workflow.name == "small/released"
    assert workflow.runs[0].rates.model_dump(exclude_none=True) == SUITE["experiments"][0]["rates"]["full_ft"]
    with pytest.raises(ValueError, match="give the rates of each method"):
        load(tmp_path, {"protocol": "released"}, changed("experiments.0", suite["experiments"][0] | {"rates": {}}))


def test_a_method_is_laid_over_the_known_one_and_an_experiment_s_over_that(tmp_path):
    suite = changed("methods.lora", {"arguments": {"r": 2}, "match_parameters": "frod"})
    experiment = suite["experiments"][0]
    experiment["rates"]["lora"] = {"lr": 1e-3, "lr_head": 1e-3}
    experiment["methods"] = {"frod": {"sparse_rate": 0.3}}
    run = load(tmp_path, suite=suite).find("digits", "digit_vit", "lora", 0)
    assert run.adapter.config == "LoraConfig"
    assert run.adapter.arguments == {"r": 2, "lora_alpha": 16}
    assert run.matched.sparse_rate == 0.3


def test_a_run_resolves_to_what_its_result_depends_on(tmp_path):
    """A label, how another method is computed, and a size that is not chosen must not make a finished run stale."""
    suite = changed("methods.lora", {"match_parameters": "frod"})
    suite["experiments"][0]["rates"]["lora"] = {"lr": 1e-3, "lr_head": 1e-3}
    other = copy.deepcopy(suite)
    other["methods"]["frod"] |= {"plan": "factored", "label": "F"}
    other["methods"]["full_ft"] |= {"label": "all"}
    found = [{run.method: run.resolved() for run in load(tmp_path, suite=one).runs} for one in (suite, other)]
    assert [name for name in found[0] if found[0][name] != found[1][name]] == ["frod"]
    assert not {"match_parameters", "size_argument"} & set(found[0]["full_ft"]["adapter"])
    assert found[0]["lora"]["adapter"]["size_argument"] == "r"
    assert all(config.Run.model_validate(run).resolved() == run for run in found[0].values())


def test_a_suite_includes_the_experiments_of_others(tmp_path):
    load(tmp_path)
    by_hand.write_suite("part", tmp_path, **changed("training", {"epochs": 9}))
    whole = {key: SUITE[key] for key in ("title", "description")} | {"methods": {"frod": {}}, "seeds": [7]}
    workflow = load(tmp_path, suite=whole | {"include": ["part"]})
    assert [run.key for run in workflow.runs] == ["small/digits/digit_vit/frod/seed-7"]
    assert workflow.runs[0].training.epochs == 2  # the experiment's own


def test_what_a_training_may_use_is_merged_as_its_budget_is(tmp_path):
    suite = changed("resources", {"gpu": 1, "threads": 2})
    suite["experiments"][0]["resources"] = {"gpu": 2}
    (found,) = {one.model_dump_json() for one in load(tmp_path, suite=suite).resources.values()}
    assert json.loads(found) | {"gpu": 2, "threads": 2, "mem_mb": 4000} == json.loads(found)


def test_a_run_that_the_suite_does_not_have_is_named_with_the_nearest():
    from frod.cli.params import params

    with pytest.raises(ValueError, match="suite smoke has no such run; did you mean 'digits/digit_vit/frod/seed-0'"):
        params(ROOT / "params.yaml", run="smoke/digits/digit_vit/frodd/seed-0")
