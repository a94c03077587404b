"""One quantity that differs between compared runs is found and named; what is not recorded is not taken as equal."""

import copy
from dataclasses import replace

import pytest
from made_up import evidence, figures, noisy, rates, table

from frod.claims.same_budget import same_budget

METHODS = {"full_ft": 90, "frod": 90, "lora": 90}


TUNED = [(task, "small", method) for task in ("task_0", "task_1") for method in METHODS]


def suite(change=None, tuning=None):
    found = evidence(
        noisy(METHODS, tasks=2, seeds=2), tuning={key: rates([0.8, 0.9]) for key in TUNED} | (tuning or {})
    )
    records = {key: copy.deepcopy(of) for key, of in found.records.items()}
    if change:
        change(records[("task_1", "small", "frod", 0)])
    return replace(found, records=records)


def test_runs_that_differ_in_nothing_have_the_same_budget():
    found = same_budget(suite())
    assert (found["verdict"], found["finding"]) == ("supported", "shown")
    assert "4 groups of compared runs (same task, model and seed; 12 runs)" in found["reason"]


def edit(section, field, value):
    return lambda record: record[section].update({field: value})


CHANGES = {
    "optimiser steps": edit("budget", "steps", 101),
    "batch size": edit("budget", "batch_size", 16),
    "micro-batches a step": edit("budget", "accumulation", 2),
    "examples seen": edit("budget", "examples", 1),
    "order of the examples": edit("budget", "order_sha256", "f" * 64),
    "schedule, decay, clipping, precision": edit("spec", "training", {"clip": None}),
    "protocol": lambda record: record.update(protocol="released"),
    "weights and data": edit("inputs", "data/tasks/task_1/small/manifest.json", "d" * 64),
    "trials of rates": edit("tuning", "trials", 3),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_quantity_that_differs_is_named(what):
    found = same_budget(suite(CHANGES[what]))
    assert (found["verdict"], found["finding"]) == ("not_supported", "contradicted")
    assert f"{what} (task_1 on small, seed 0: frod " in found["reason"]
    alike = {row["quantity"]: row["groups alike"] for row in table(found, "What compared runs have alike")}
    assert [quantity for quantity, of in alike.items() if of == "3 of 4"] == [what]


def test_test_read_twice_is_named_under_the_audited_protocol_only():
    found = same_budget(suite(edit("evaluations", "test", 2)))
    assert found["finding"] == "contradicted" and "task_1 on small, frod, seed 0: 2 times" in found["reason"]
    released = suite(edit("evaluations", "test", 5))
    for record in released.records.values():
        record["protocol"] = "released"
    claim = same_budget(released)
    assert claim["verdict"] == "supported"
    said = [row["quantity"] for row in table(claim, "What compared runs have alike")]
    assert not any("predicted once" in quantity for quantity in said), "nothing was held against it"


def test_trials_of_another_length_are_named():
    longer = rates([0.8, 0.9])
    longer["budget"]["steps"] = 999
    assert "trials of rates (task_0 on small" in same_budget(suite(tuning={TUNED[1]: longer}))["reason"]


def test_trials_that_are_recorded_but_not_there_are_not_taken_as_equal():
    found = same_budget(replace(suite(), tuning={}))
    assert found["finding"] == "undecided" and "trials of rates (12 runs)" in found["reason"]


def test_rates_that_the_suite_gave_are_alike():
    found = suite()
    for record in found.records.values():
        record["tuning"] = None
    assert same_budget(replace(found, tuning={}))["verdict"] == "supported"


@pytest.mark.parametrize("missing", ["budget", "inputs", "spec", "evaluations", "protocol", "tuning"])
def test_what_is_not_recorded_is_not_taken_as_equal(missing):
    found = same_budget(suite(lambda record: record.pop(missing)))
    assert (found["verdict"], found["finding"]) == ("not_supported", "undecided")
    assert "Not recorded" in found["reason"] and "1 run" in found["reason"]


def test_a_basis_and_the_chosen_rates_may_be_a_methods_own_but_not_weights_below_a_folder_of_that_name():
    def elsewhere(record):
        record["inputs"] = {f"/bases/{path}": digest for path, digest in record["inputs"].items()}

    found = suite()
    for record in found.records.values():
        elsewhere(record)
    assert same_budget(found)["verdict"] == "supported"
    found.records[("task_1", "small", "frod", 0)]["inputs"]["/bases/data/models/small/source.json"] = "e" * 64
    assert "weights and data" in same_budget(found)["reason"]


@pytest.mark.parametrize("ran", [["frod"], ["frod", "lora"], ["full_ft", "lora"]])
def test_without_frod_and_full_fine_tuning_there_is_nothing_to_compare(ran):
    assert same_budget(evidence(noisy(dict.fromkeys(ran, 90))))["verdict"] == "cannot_be_tested"


def test_time_is_told_though_it_is_not_alike():
    found = suite()
    for key, record in found.records.items():
        record["resources"]["train_seconds"] = 15.0 if key[2] == "frod" else 10.0
    assert figures(same_budget(found))["FRoD's seconds of training over LoRA's"]["value"] == pytest.approx(1.5)
