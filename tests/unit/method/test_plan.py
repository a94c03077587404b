"""The plan of a training step: which is chosen where, and that the costs are those of the formulas."""

import pytest

from frod.method import plan


def test_an_asked_for_plan_is_taken():
    for name in plan.WAYS:
        assert plan.choose(plan.check(name), T=10**6, m=1, n=10**4, k=5) == name
    with pytest.raises(ValueError, match="plan='quick' is none of auto, materialised, factored, input_side"):
        plan.check("quick")


def test_long_batches_form_the_weight_short_ones_do_not_and_tall_layers_never_do():
    # CLIP ViT-B/32 at 64 images of 50 tokens, at one image, and at an eighth of an image accumulated 64 times over.
    chosen = {
        (T, m, n): plan.choose("auto", T=T, m=m, n=n, k=int(0.01 * n * n))
        for T in (64 * 50, 50)
        for m, n in [(768, 768), (3072, 768), (768, 3072)]
    }
    assert chosen == {
        (3200, 768, 768): "materialised",
        (3200, 3072, 768): "input_side",
        (3200, 768, 3072): "materialised",
        (50, 768, 768): "input_side",
        (50, 3072, 768): "input_side",
        (50, 768, 3072): "factored",
    }


def test_without_entries_the_costs_are_the_dense_products():
    # T = 10, m = 3, n = 5; the diagonal alone has p = n places.
    assert plan.multiply_adds("materialised", T=10, m=3, n=5, k=0) == (3 * 150 + 2 * 75, 2 * 5 * 3)
    assert plan.multiply_adds("factored", T=10, m=3, n=5, k=0) == (2 * 150 + 20 * (25 + 15), 3 * 10 * 5)
    assert plan.multiply_adds("input_side", T=10, m=3, n=5, k=0) == (2 * 150 + 40 * 25, 3 * 10 * 5)


def test_sparse_products_are_dearer_where_dense_ones_are_cheap():
    # On a GPU in bfloat16 forming the weight, whose sparse part does not grow with T, pays earlier.
    shape = {"T": 3200, "m": 3072, "n": 768, "k": 10_000}
    assert plan.choose("auto", **shape) == "input_side"
    assert plan.choose("auto", **shape, device="cuda", itemsize=2) == "materialised"
