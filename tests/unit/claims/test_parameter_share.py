"""FRoD's share agrees with counts made on the models themselves; the paper's figure is beside, nothing is claimed."""

import pytest
from made_up import evidence, figures, noisy, table

from frod.backbones import architecture, registry
from frod.claims import released
from frod.claims.parameter_share import parameter_share
from frod.method.counting import predict_parameters

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


def test_the_closed_forms_give_the_known_counts():
    for family, of in released.counts().items():
        assert {counts.adapter for counts in of.values()} == {ADAPTERS[family]}
        assert {counts.base for counts in of.values()} == {BASES[family]}
    cars = released.counts()["vision"]["stanford_cars"]
    assert (cars.head, cars.adapter + cars.head) == (150_724, 1_720_000)
    assert released.counts()["GLUE"]["sst2"].head == 1_051_650


def test_every_convention_gives_the_known_shares():
    every = {task: counts for of in released.counts().values() for task, counts in of.items()}
    for task, share in PRINTED.items():
        assert 100 * every[task].shares()["(adapter + head) / all, head twice"] == pytest.approx(share, abs=6e-5)
    for task, share in WITH_HEAD.items():
        assert 100 * every[task].shares()["(adapter + head) / (base + head)"] == pytest.approx(share, abs=6e-5)
    of = {family: next(iter(tasks.values())).shares() for family, tasks in released.counts().items()}
    assert [round(100 * of[f]["adapter / base"], 4) for f in ADAPTERS] == [1.7944, 3.0456, 0.9869]
    assert [round(100 * of[f]["adapter / (base + adapter)"], 4) for f in ADAPTERS] == [1.7627, 2.9556, 0.9773]


@pytest.mark.parametrize(("family", "classifier"), [("vision", "classifier"), ("GLUE", "classifier")])
def test_the_closed_forms_are_those_of_the_models(family, classifier):
    """Against the models built without numbers; Llama's is as simple, and takes long to build."""
    (of,) = [f for f in released.FAMILIES if f.title == family]
    model = architecture.build(registry.load()[of.backbone])
    counted = predict_parameters(model, sparse_rate=of.rate, train=[classifier])
    known = released.counts()[family]
    assert (counted["adapter"], counted["base"]) == (ADAPTERS[family], next(iter(known.values())).base)
    two = next(counts for task, counts in known.items() if task in ("rte", "stanford_cars"))
    per_output = (model.classifier.in_features if family == "vision" else model.classifier.out_proj.in_features) + 1
    outputs = 196 if family == "vision" else 2
    assert two.head == counted["head"] + (outputs - 2) * per_output


def test_the_mixes_are_all_choices_and_give_the_known_means():
    mixes = {mix.sizes: mix for mix in released.mixes(20, 1.72)}
    assert sum(mix.ways for mix in mixes.values()) == 10_626, "24 choose 20"
    for sizes, shares in MIXES.items():
        for convention, share in zip(released.CONVENTIONS, shares):
            assert mixes[sizes].low[convention] == pytest.approx(share, abs=6e-5)
            assert mixes[sizes].high[convention] == pytest.approx(share, abs=6e-5)
    hits = {(sizes, of): count for sizes, mix in mixes.items() for of, count in mix.hits.items() if count}
    assert hits == {((8, 4, 8), "adapter / base"): 70}, "every choice of 4 of the 8 GLUE tasks"


def test_heads_make_the_mean_depend_on_which_benchmarks_are_chosen():
    (mix,) = [mix for mix in released.mixes(1, 1.93) if mix.sizes == (1, 0, 0)]
    assert mix.ways == 8
    printed = "(adapter + head) / all, head twice"
    assert (round(mix.low[printed], 4), round(mix.high[printed], 4)) == (PRINTED["eurosat"], PRINTED["sun397"])
    assert mix.hits[printed] == 1, "Stanford Cars alone"


def test_both_coincidences_are_stated_and_neither_is_claimed():
    found = parameter_share(evidence(noisy({"full_ft": 90, "frod": 90})))
    assert (found["verdict"], found["finding"]) == ("cannot_be_tested", None)
    for said in (
        "no benchmark by itself",
        "70 give it as adapter / base",
        "1.7216",
        "1\u202f720\u202f000",
        "may be chance",
    ):
        assert said in found["reason"]


def test_the_suites_own_counts_stand_beside_with_their_runs():
    found = parameter_share(evidence(noisy({"full_ft": 90, "frod": 90}, tasks=2)))
    first, second = table(found, "What FRoD trains in this suite")
    assert first["adapter / base"]["value"] == pytest.approx(1.72)
    assert first["(adapter + head) / all"]["value"] == pytest.approx(100 * 2220 / 102_220)
    assert second["adapter"]["run"] == "task_1/small/frod"
    assert list(figures(found)) == ["adapter / base on small", "the paper's"]
    assert figures(found)["the paper's"]["value"] == 1.72


def test_without_frod_the_released_settings_are_still_told():
    found = parameter_share(evidence(noisy({"full_ft": 90})))
    assert [of["title"].split(":")[0] for of in found["tables"]] == ["At the released settings", "Which 20 benchmarks"]
