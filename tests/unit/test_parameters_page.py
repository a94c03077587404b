"""docs/parameters.md follows from the models' shapes, and what they give agrees with counts of others."""

import runpy
from pathlib import Path

import pytest

from frod.method.shares import shares

SCRIPT = Path(__file__).parents[2] / "docs" / "parameters.py"
# Counted on transformers' models on the meta device, and by the released scripts' formula, apart from this project.
ADAPTERS = {"vision": 1_569_276, "GLUE": 10_790_760, "commonsense": 65_210_880}
BASES = {"vision": 87_456_000, "GLUE": 354_310_144, "commonsense": 6_607_343_616}
PRINTED = {"stanford_cars": 1.9255, "dtd": 1.8019, "eurosat": 1.7711, "gtsrb": 1.7985, "sun397": 2.0913, "sst2": 3.225}
WITH_HEAD = {"stanford_cars": 1.9633, "dtd": 1.8349, "sun397": 2.136, "sst2": 3.3325}
MIXES = {
    (8, 4, 8): (1.7216, 1.6871),
    (7, 5, 8): (1.7842, 1.7468),
    (7, 7, 6): (1.9901, 1.9446),
    (8, 6, 6): (1.9275, 1.8849),
    (8, 8, 4): (2.1334, 2.0828),
    (7, 6, 7): (1.8871, 1.8457),
}


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def counts(script):
    return script["counts"]()


def test_the_page_is_what_the_models_give(script):
    assert SCRIPT.with_suffix(".md").read_text() == script["page"](), "run `python docs/parameters.py`"


def test_the_models_give_the_known_counts(counts):
    for family, of in counts.items():
        assert {(one["adapter"], one["base"]) for one in of.values()} == {(ADAPTERS[family], BASES[family])}
    cars = counts["vision"]["stanford_cars"]
    assert (cars["head"], cars["adapter"] + cars["head"]) == (150_724, 1_720_000)
    assert counts["GLUE"]["sst2"]["head"] == 1_051_650


def test_every_convention_gives_the_known_shares(counts):
    every = {task: shares(**of) for family in counts.values() for task, of in family.items()}
    for task, share in PRINTED.items():
        assert 100 * every[task]["(adapter+head)/(base+adapter+2head)"] == pytest.approx(share, abs=6e-5)
    for task, share in WITH_HEAD.items():
        assert 100 * every[task]["(adapter+head)/(base+head)"] == pytest.approx(share, abs=6e-5)
    three = [every[task] for task in ("mnist", "cola", "boolq")]
    assert [round(100 * of["adapter/base"], 4) for of in three] == [1.7944, 3.0456, 0.9869]
    assert [round(100 * of["adapter/(base+adapter)"], 4) for of in three] == [1.7627, 2.9556, 0.9773]


def test_the_mixes_are_all_choices_and_give_the_known_means(script, counts):
    for place, convention in enumerate(("adapter/base", "adapter/(base+adapter)")):
        found = script["means"](counts, convention)
        assert sum(map(len, found.values())) == 10_626, "24 choose 20"
        for mix, means in MIXES.items():
            assert (min(found[mix]), max(found[mix])) == pytest.approx((means[place],) * 2, abs=6e-5)
        hits = {mix: sum(map(script["is_papers"], of)) for mix, of in found.items()}
        expected = {(8, 4, 8): 70} if convention == "adapter/base" else {}
        assert {mix: count for mix, count in hits.items() if count} == expected, "any 4 of the 8 GLUE tasks"


def test_heads_make_the_mean_depend_on_which_benchmarks_are_chosen(script, counts):
    found = script["means"](counts, "(adapter+head)/(base+adapter+2head)")
    assert min(found[7, 5, 8]) < max(found[7, 5, 8])
