"""The suites of ablation change one thing at a time, and give all methods alike to choose from."""

from pathlib import Path

import pytest

from frod import config
from frod.config import safe_yaml
from frod.tasks import registry

ROOT = Path(__file__).parents[2]
SUITES = ("ablation", "ablation_steps")


def suite(name):
    return safe_yaml.read(ROOT / f"workflow/suites/{name}.yaml")


def test_each_form_of_frod_differs_from_it_in_one_setting():
    methods = config.load({"suite": "ablation"}, ROOT).methods
    frod = methods["frod"].model_dump()
    changed = {
        name: [field for field, value in method.model_dump().items() if field != "label" and value != frod[field]]
        for name, method in methods.items()
        if method.kind == "frod" and name != "frod"
    }
    assert len(changed) == 11
    assert {len(fields) for fields in changed.values()} == {1}, changed
    assert {field for (field,) in changed.values()} == {"sparse_rate", "freeze", "basis", "pattern_seed"}


@pytest.mark.parametrize("name", SUITES)
def test_the_boxes_of_all_methods_are_as_wide_as_each_other(name):
    for experiment in suite(name)["experiments"]:
        for method, box in experiment["box"].items():
            body = {rate: ends for rate, ends in box.items() if rate != "lr_head"} or box
            assert all(high / low == pytest.approx(100) for low, high in body.values()), method


def test_a_longer_task_is_the_registry_s_under_its_own_name_with_three_times_the_epochs():
    found = suite("ablation_steps")
    epochs = {of["tasks"][0]: of["training"]["epochs"] for of in found["experiments"]}
    known = registry.load()
    for name, task in found["tasks"].items():
        short = name.removesuffix("_long")
        own = registry.TaskSpec.model_validate(task)
        assert own.title == f"{known[short].title}, three times the steps"
        assert own.model_copy(update={"title": known[short].title}) == known[short]
        assert epochs[name] == 3 * epochs[short]
        shared = next(of for of in suite("ablation")["experiments"] if of["tasks"] == [short])
        assert shared["training"]["epochs"] == epochs[short]
