"""A method's own basis, frozen group and pattern seed in a suite: what is planned, and what is refused in one line."""

import copy

import pytest
from small_suite import SUITE, changed, load

FROD = {"kind": "frod", "sparse_rate": 0.01}
BOTH = {"lr_scale": 1e-3, "lr_rotation": 1e-3, "lr_head": 1e-3}


def with_methods(**methods):
    """The small suite with methods of kind frod besides: settings and rates by name."""
    suite = copy.deepcopy(SUITE)
    for name, (settings, rates) in methods.items():
        suite["methods"][name] = FROD | settings
        suite["experiments"][0]["rates"][name] = rates
    return suite


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"freeze": ["scale", "rotation"]},
            "methods.frod: freeze is .* nothing is left to train but the head; freeze one",
        ),
        (
            {"freeze": ["scale"], "sparse_rate": 0},
            "methods.frod: freeze is .*, sparse_rate is 0: nothing is left to train",
        ),
        ({"freeze": ["scale", "scale"]}, "methods.frod: freeze: .* repeats a group"),
        ({"freeze": ["lambda"]}, "methods.frod.freeze.0: Input should be 'scale' or 'rotation', is 'lambda'"),
        (
            {"basis": {"kind": "layer_svd", "ridge": 0.1}},
            "methods.frod.basis: ridge is 0.1, kind is layer_svd: only kind sha",
        ),
        (
            {"basis": {"kind": "random", "ridge": 0.1}},
            "methods.frod.basis: ridge is 0.1, kind is random: only kind shared",
        ),
        ({"basis": {"kind": "svd"}}, "methods.frod.basis.kind: Input should be 'shared', 'layer_svd' or 'random'"),
        ({"basis": {"ridge": 0}}, "methods.frod.basis.ridge: Input should be greater than 0"),
        ({"basis": {"rigde": 1}}, "methods.frod.basis.rigde: unknown key; did you mean 'ridge'"),
        ({"pattern_seed": -1}, "methods.frod.pattern_seed: Input should be greater than or equal to 0"),
        ({"pattern_seed": 2**32}, "methods.frod.pattern_seed: Input should be less than 4294967296"),
    ],
)
def test_impossible_settings_are_named(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, suite=changed("methods.frod", FROD | settings))
    assert "small.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"), [("freeze", ["scale"]), ("basis", {"kind": "random"}), ("pattern_seed", 0), ("plan", "auto")]
)
def test_no_other_kind_has_them(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"methods.full_ft: {name} is .*, kind is full_ft: only kind frod has it"):
        load(tmp_path, suite=changed("methods.full_ft", {"kind": "full_ft", name: value}))


@pytest.mark.parametrize(
    ("settings", "rates", "said"),
    [
        ({"freeze": ["scale"]}, BOTH, r"trains rotation, takes \['lr_head', 'lr_rotation'\]"),
        ({"freeze": ["rotation"]}, BOTH, r"trains scale, takes \['lr_head', 'lr_scale'\]"),
        ({"sparse_rate": 0}, BOTH, r"trains scale, takes \['lr_head', 'lr_scale'\]"),
        ({}, {"lr_scale": 1e-3, "lr_head": 1e-3}, r"kind frod takes \['lr_head', 'lr_rotation', 'lr_scale'\]"),
    ],
)
def test_rates_are_of_what_trains(tmp_path, settings, rates, said):
    with pytest.raises(ValueError, match=f"experiments.0.rates.half: has .*{said}"):
        load(tmp_path, suite=with_methods(half=(settings, rates)))


def test_each_basis_is_planned_once_by_its_settings(tmp_path):
    suite = with_methods(
        alike=({"basis": {"ridge": 1e-3}, "pattern_seed": 3}, BOTH),
        ridge=({"basis": {"ridge": 1.0}}, BOTH),
        near=({"basis": {"ridge": 1.0000000001}}, BOTH),
        svd=({"basis": {"kind": "layer_svd"}}, BOTH),
        drawn=({"basis": {"kind": "random"}}, BOTH),
    )
    workflow = load(tmp_path, {"basis": {"dtype": "float32"}}, suite)
    bases = {name: (one.kind, one.ridge, one.dtype) for (_, name), one in workflow.bases.items()}
    assert bases == {
        "ridge-0.001-float32": ("shared", 1e-3, "float32"),
        "ridge-1-float32": ("shared", 1.0, "float32"),
        "ridge-1.0000000001-float32": ("shared", 1.0000000001, "float32"),
        "layer_svd": ("layer_svd", None, "float64"),
        "random": ("random", None, "float64"),
    }
    named = {run.method: workflow.extraction(run) and workflow.extraction(run).name for run in workflow.runs}
    assert named["full_ft"] is None
    assert named["frod"] == named["alike"] == "ridge-0.001-float32"


def test_a_suite_without_frod_has_no_basis(tmp_path):
    suite = copy.deepcopy(SUITE)
    del suite["methods"]["frod"], suite["experiments"][0]["rates"]["frod"]
    assert load(tmp_path, suite=suite).bases == {}


def test_what_another_method_is_matched_to_counts_without_its_basis_and_places(tmp_path):
    """A run of LoRA does not become stale by them, as its size stays; it does by what the other one freezes."""

    def lora(**settings):
        suite = changed("methods.frod", FROD | settings)
        suite["methods"]["lora"] = {"match_parameters": "frod"}
        frozen = settings.get("freeze", [])
        suite["experiments"][0]["rates"]["frod"] = {k: v for k, v in BOTH.items() if k[3:] not in frozen}
        suite["experiments"][0]["rates"]["lora"] = {"lr": 1e-3, "lr_head": 1e-3}
        return load(tmp_path, suite=suite).find("digits", "digit_vit", "lora", 0).resolved()

    assert lora() == lora(basis={"kind": "random"}, pattern_seed=3) != lora(freeze=["scale"])
