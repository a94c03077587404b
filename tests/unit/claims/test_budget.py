"""One quantity that differs between compared runs is found and named; what is not recorded is not taken as equal."""

import copy
from dataclasses import replace

import pytest
from made_up import diverged, evidence, noisy, rates

from frod.claims import assess
from frod.claims.budget import same_budget

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
    assert found["same"] and "9 quantities agree in all 4 groups of compared runs" in found["reason"]
    assert set(alike(found).values()) == {"4 of 4", "12 of 12"}


def alike(found):
    return {row[0]: row[1] for row in found["table"]["rows"]}


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
    assert not found["same"] and f"{what} (task_1 on small, seed 0: frod " in found["reason"]
    assert [quantity for quantity, of in alike(found).items() if of == "3 of 4"] == [what]


def test_where_compared_runs_differ_no_claim_is_tested():
    found, whole = (assess(suite(change)) for change in (CHANGES["optimiser steps"], None))
    assert [claim["verdict"] for claim in whole["claims"]][:2] == ["not_supported"] * 2
    for claim, other in zip(found["claims"], whole["claims"]):
        same = {name: claim[name] == other[name] for name in ("tables", "figures", "reason")}
        assert same == dict.fromkeys(same, True) | {"reason": False}
        assert (claim["verdict"], claim["finding"]) == ("cannot_be_tested", None)
        assert found["budget"]["reason"] in claim["reason"] and "optimiser steps" in claim["reason"]


def test_test_read_twice_is_named_under_the_audited_protocol_only():
    found = same_budget(suite(edit("evaluations", "test", 2)))
    assert not found["same"] and "task_1 on small, frod, seed 0: 2 times" in found["reason"]
    released = suite(edit("evaluations", "test", 5))
    for record in released.records.values():
        record["protocol"] = "released"
    found = same_budget(released)
    assert found["same"] and alike(found)["test predicted once"] == "0 of 0", "nothing was held against it"


def test_trials_of_another_length_are_named():
    longer = rates([0.8, 0.9])
    longer["budget"]["steps"] = 999
    assert "trials of rates (task_0 on small" in same_budget(suite(tuning={TUNED[1]: longer}))["reason"]


def test_trials_that_are_recorded_but_not_there_are_not_taken_as_equal():
    found = same_budget(replace(suite(), tuning={}))
    assert not found["same"] and "trials of rates (12 runs)" in found["reason"]


def test_rates_that_the_suite_gave_are_alike():
    found = suite()
    for record in found.records.values():
        record["tuning"] = None
    assert same_budget(replace(found, tuning={}))["same"]


@pytest.mark.parametrize("missing", ["budget", "inputs", "spec", "evaluations", "protocol", "tuning"])
def test_what_is_not_recorded_is_not_taken_as_equal(missing):
    found = same_budget(suite(lambda record: record.pop(missing)))
    assert not found["same"] and "Not recorded" in found["reason"] and "1 run" in found["reason"]


def test_a_basis_and_the_chosen_rates_may_be_a_methods_own_but_not_weights_below_a_folder_of_that_name():
    def elsewhere(record):
        record["inputs"] = {f"/bases/{path}": digest for path, digest in record["inputs"].items()}

    found = suite()
    for record in found.records.values():
        elsewhere(record)
    assert same_budget(found)["same"]
    found.records[("task_1", "small", "frod", 0)]["inputs"]["/bases/data/models/small/source.json"] = "e" * 64
    assert "weights and data" in same_budget(found)["reason"]


def test_a_run_that_diverged_had_the_same_budget_and_is_counted():
    found = same_budget(diverged(suite(), ("task_1", "frod", 0)))
    assert found["same"] and "1 run diverged and stopped before the budget's end" in found["reason"]
    assert alike(found)["test predicted once"] == "11 of 11"


def test_runs_of_one_method_are_compared_with_none():
    assert same_budget(evidence(noisy({"frod": 90})))["same"]
