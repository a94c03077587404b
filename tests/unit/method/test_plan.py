"""The plan of a training step: which is chosen where, and that the costs are those of the formulas."""

import pytest
from torch import nn

from frod.method import plan


def test_an_asked_for_plan_is_taken():
    for name in plan.STRATEGIES:
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


def test_a_model_s_plan_and_its_floor_are_those_of_its_layers():
    blocks = [nn.ModuleDict({"up": nn.Linear(10, 20)}) for _ in range(3)]
    model = nn.ModuleList([*blocks, nn.ModuleDict({"down": nn.Linear(10, 6)})])
    rows = plan.plan_model(model, ["up", "down"], tokens=1000, sparse_rate=0.1)
    assert [(row.layers, row.m, row.n, row.k) for row in rows] == [(3, 20, 10, 10), (1, 6, 10, 10)]
    best = [min(sum(plan.multiply_adds(way, T=1000, m=m, n=10, k=10)) for way in plan.STRATEGIES) for m in (20, 6)]
    assert plan.floor(rows) == pytest.approx((3 * best[0] + best[1]) / (3 * 1000 * 10 * (3 * 20 + 6)))
    for row in rows:
        assert row.strategy == plan.choose("auto", T=1000, m=row.m, n=10, k=10)
    forced = plan.plan_model(model, ["0.up"], tokens=1000, sparse_rate=0.1, plan="materialised", itemsize=2)
    assert [(row.strategy, row.basis_bytes, row.weight_bytes) for row in forced] == [("materialised", 800, 2 * 200 * 2)]
    with pytest.raises(ValueError, match="tokens=0 must be at least 1"):
        plan.plan_model(model, ["up"], tokens=0)
    assert plan.floor(plan.plan_model(model, ["0.up"], tokens=10**9, sparse_rate=0.1)) == pytest.approx(1)
