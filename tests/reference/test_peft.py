"""Against peft's FrodConfig, the authors' own implementation: basis, forward, gradients and merging, on real weights.

The model is all-MiniLM-L6-v2, cut to its first three blocks.
"""

import copy

import pytest
import torch

import frod
from frod.method import decomposition
from frod.method.identity import weight_of
from frod.method.plan import STRATEGIES
from frod.method.targets import find

peft_model = pytest.importorskip("peft.tuners.frod.model")

SPARSE_RATE = 0.01


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    from transformers import BertModel

    return BertModel.from_pretrained(minilm_folder, num_hidden_layers=3, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(1000, 20_000, (4, 12), generator=torch.Generator().manual_seed(0))


def oracle(weights, ridge=1e-3):
    """peft's V in float64; its accumulator takes the dtype of R."""
    return peft_model._projection_from_weights([W.double() for W in weights], ridge)


def column_distance(V, reference):
    sign = (V * reference).sum(0).sign()
    return ((V * sign - reference).norm(dim=0) / reference.norm(dim=0)).max().item()


def ours(weights):
    return decomposition.shared_basis([lambda W=W: W for W in weights], ridge=1e-3).V


def test_V_is_peft_s_on_real_weights(minilm):
    for category, layers in find(minilm).items():
        weights = [weight_of(layer) for layer in layers.values()]
        assert column_distance(ours(weights), oracle(weights)) < 1e-7, category


@pytest.mark.parametrize("m, n, N", [(30, 20, 4), (20, 20, 3), (10, 24, 6), (4, 24, 3), (64, 48, 12)])
def test_V_is_peft_s_on_random_stacks(m, n, N):
    generator = torch.Generator().manual_seed(m * n)
    weights = [torch.randn(m, n, generator=generator, dtype=torch.float64) for _ in range(N)]
    assert column_distance(ours(weights), oracle(weights)) < 1e-9


def side_by_side(model, disturb=0.02):
    """The same model adapted by us and by peft, with peft's V, pattern, lambda and S set to ours; in float64."""
    import peft

    targets = {name for layers in find(model).values() for name in layers}
    adapted = copy.deepcopy(model)
    frod.attach(adapted, frod.extract_basis(model, progress=False), sparse_rate=SPARSE_RATE)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(5)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(disturb * torch.randn(parameter.shape, generator=generator))
    # Only the layers' arithmetic is compared, so peft need not decompose again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peft_model, "_projection_from_weights", lambda weights, _: torch.eye(weights[0].shape[1]))
        config = peft.FrodConfig(target_modules=sorted(targets), sparse_rate=SPARSE_RATE, progressbar=False)
        theirs = peft.get_peft_model(copy.deepcopy(model), config)
    adapted, theirs = adapted.double(), theirs.double()
    for name in targets:
        mine, other = adapted.get_submodule(name), theirs.base_model.model.get_submodule(name)
        Vt, places = mine.shared.Vt.double(), torch.stack(mine.pattern_places())
        # Recomputed in float64 from V, so that rounding of ours cannot hide in what is handed over.
        # (The output layers have 3 x 384 rows for 1536 columns, so some lambda_0, and their columns of U, are zero.)
        Bt, lambda_0 = torch.linalg.solve(Vt.T, weight_of(mine.base).T), mine.lambda_0.double()[:, None]
        mine.Ut = torch.where(lambda_0 > 0, Bt / lambda_0, 0).contiguous()
        other.frod_V["default"], other.frod_U["default"] = Vt.T.contiguous(), mine.Ut.T.contiguous()
        other.frod_s_indices["default"] = places
        other.frod_lambda_l["default"].data = mine.scale.detach().double()
        other.frod_lambda_s_values["default"].data = mine.rotation.detach().double()
    return adapted, theirs, sorted(targets)


@pytest.fixture(scope="module")
def sides(minilm):
    return side_by_side(minilm)


@pytest.mark.parametrize("plan", STRATEGIES)
def test_forward_and_gradients_are_peft_s(minilm, sides, tokens, plan):
    adapted, theirs, names = sides
    adapted.zero_grad()
    theirs.zero_grad()
    for name in names:
        adapted.get_submodule(name).plan = plan
    y, expected = adapted(tokens).last_hidden_state, theirs(tokens).last_hidden_state
    assert (y - expected).norm() < 1e-6 * expected.norm()
    with torch.no_grad():
        frozen = minilm(tokens).last_hidden_state
        assert (y - frozen).norm() > 1e-3 * frozen.norm()  # the adapters do something
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=y.dtype)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    for name in names:
        mine, other = adapted.get_submodule(name), theirs.base_model.model.get_submodule(name)
        for got, wanted in [
            (mine.scale.grad, other.frod_lambda_l["default"].grad),
            (mine.rotation.grad, other.frod_lambda_s_values["default"].grad),
        ]:
            assert (got - wanted).norm() < 1e-5 * wanted.norm(), name


def test_merged_weights_are_peft_s(sides):
    adapted, theirs, names = copy.deepcopy(sides)
    frod.merge(adapted)
    theirs = theirs.merge_and_unload()
    for name in names:
        got, wanted = adapted.get_submodule(name).weight, theirs.get_submodule(name).weight
        assert (got - wanted).norm() < 1e-6 * wanted.norm(), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_at_the_start_peft_is_off_in_half_precision_and_we_are_not(minilm, tokens, dtype):
    # Why the residual form is worth having: U (diag(lambda) + S) V^T rounds W again.
    import peft

    model = copy.deepcopy(minilm).to(dtype)
    with torch.no_grad():
        expected = model(tokens).last_hidden_state
        adapted = copy.deepcopy(model)
        frod.attach(adapted, frod.extract_basis(model, ["query", "value"], progress=False))
        assert torch.equal(adapted(tokens).last_hidden_state, expected)
        config = peft.FrodConfig(target_modules=["query", "value"], sparse_rate=SPARSE_RATE, progressbar=False)
        off = peft.get_peft_model(model, config)(tokens).last_hidden_state - expected
    assert off.norm() > 1e-4 * expected.norm()
