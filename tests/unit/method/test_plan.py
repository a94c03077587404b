"""The plan of a training step: which is chosen where, and that the costs are those of the formulas."""

import pytest

from frod.method import plan


def test_an_asked_for_plan_is_taken():
    for name in ("materialised", "factored"):
        assert plan.choose(plan.check(name), T=10**6, m=1, n=10**4, k=5) == name
    with pytest.raises(ValueError, match="plan='quick' is none of auto, materialised, factored"):
        plan.check("quick")


def test_long_batches_form_the_weight_and_short_ones_do_not():
    # CLIP ViT-B/32 at 64 images of 50 tokens: all layers are materialised; at one image none is.
    for m, n in [(768, 768), (3072, 768), (768, 3072)]:
        k = int(0.01 * n * n)
        assert plan.choose("auto", T=64 * 50, m=m, n=n, k=k) == "materialised"
        assert plan.choose("auto", T=50, m=m, n=n, k=k) == "factored"


def test_without_entries_the_costs_are_the_dense_products():
    assert plan.materialised_cost(10, 3, 5, 0) == 10 * 3 * 5 + 2 * 3 * 25
    assert plan.factored_cost(10, 3, 5, 0) == 2 * 10 * (25 + 15)
