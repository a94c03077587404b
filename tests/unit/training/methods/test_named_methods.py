"""The named methods of peft on every architecture: they start as the plain model, train only what they should, count as
in their papers and come back from a file, since a comparison of methods is worth no more than its weakest adapter."""

import math

import pytest
import torch
from safetensors.torch import load_file
from small_models import HEADS, SHAPES, build, logits

import frod
from frod.config import Method, Rates
from frod.config.workflow import known_methods
from frod.training import methods
from frod.training.methods import trained

METHODS = {name: Method(**settings) for name, settings in known_methods().items()}
PEFT = [name for name, method in METHODS.items() if method.kind == "peft"]
CASES = [(a, m) for a in SHAPES for m in PEFT if (a, m) != ("gpt2", "oft")]
LABELS = torch.tensor([0, 2])


def applied(architecture, method, seed=0):
    model = build(architecture)
    adapter = METHODS[method]
    methods.of_kind("peft").apply(model, adapter, targets=None, head=HEADS[architecture], basis=None, seed=seed)
    return model


def step(model, architecture, method, lr=1e-2):
    """One optimiser step on the fixed batch; the loss before it."""
    groups = methods.of_kind("peft").groups(model, Rates(lr=lr, lr_head=1e-3), HEADS[architecture], 0.0)
    optimiser = torch.optim.AdamW(groups)
    loss = torch.nn.functional.cross_entropy(logits(model, architecture), LABELS)
    loss.backward()
    optimiser.step()
    return loss.item()


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_it_starts_as_the_plain_model(architecture, method):
    before = logits(build(architecture), architecture)
    after = logits(applied(architecture, method), architecture)
    if method == "pissa":  # it splits the weight in two: equal but for rounding
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)
    else:
        assert torch.equal(after, before)


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_a_step_trains_adapters_and_head_alone_and_lowers_the_loss(architecture, method):
    model = applied(architecture, method)
    start = {name: p.clone() for name, p in model.named_parameters()}
    before = step(model, architecture, method, lr=1e-3)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            assert torch.isfinite(parameter.grad).all()
        else:
            assert torch.equal(parameter, start[name])
    after = torch.nn.functional.cross_entropy(logits(model, architecture), LABELS).item()
    assert after < before


def per_layer(method, m, n):
    """Numbers that a method trains on an m x n weight, as its paper has it."""
    return {
        "lora": 8 * (m + n),
        "rslora": 8 * (m + n),
        "pissa": 8 * (m + n),
        "dora": 8 * (m + n) + m,  # and the magnitude of each row
        "vera": 256 + m,  # the two vectors d and b
        "randlora": math.ceil(min(m, n) / 32) * (32 + min(m, n)),  # the diagonals of each of the bases
        "oft": n // 32 * (32 * 31 // 2),  # a skew-symmetric block each
        "ia3": m if n == 32 else n,  # outputs are scaled, but the input of a feed-forward block's second layer
    }[method]


@pytest.mark.parametrize(("architecture", "method"), CASES)
def test_it_counts_as_in_its_paper(architecture, method):
    found = trained.count(applied(architecture, method), HEADS[architecture])
    assert found["adapter"] == 2 * sum(per_layer(method, m, n) for m, n in SHAPES[architecture])


@pytest.mark.parametrize("architecture", SHAPES)
def test_frod_counts_as_in_its_paper(architecture):
    model = build(architecture)
    basis = frod.extract_basis(model, progress=False)
    adapter = METHODS["frod"]
    methods.of_kind("frod").apply(model, adapter, targets=None, head=HEADS[architecture], basis=basis, seed=0)
    roles = {"timm": 3}.get(architecture, 1)  # of a fused qkv: each has numbers of its own
    widths = [n for m, n in SHAPES[architecture] for _ in range(roles if m == 96 else 1)]
    expected = 2 * sum(n + int(0.01 * n * n) for n in widths)
    assert trained.count(model, HEADS[architecture])["adapter"] == expected


@pytest.mark.parametrize(
    ("architecture", "method"), [("bert", m) for m in PEFT] + [("timm", "vera"), ("gpt2", "pissa")]
)
def test_its_file_gives_the_outputs_back(architecture, method, tmp_path):
    model = applied(architecture, method, seed=1)
    for _ in range(2):
        step(model, architecture, method)
    trained.save(model, tmp_path / "adapter.safetensors", "peft")
    stored = load_file(tmp_path / "adapter.safetensors")
    expected = logits(model, architecture)
    assert not torch.allclose(expected, logits(build(architecture), architecture), rtol=1e-4)
    for seed in (1, 2):  # another seed's projections are overwritten by the file's, and PiSSA is exact
        again = applied(architecture, method, seed=seed)
        again.load_state_dict(stored, strict=False)
        assert torch.equal(logits(again, architecture), expected)


@pytest.mark.parametrize(
    ("method", "projections"), [("vera", ("vera_A", "vera_B")), ("randlora", ("randlora_A", "randlora_B"))]
)
def test_projections_that_layers_share_are_kept_once(method, projections):
    names = list(trained.trained_state(applied("bert", method)))
    for projection in projections:
        assert len([name for name in names if f".{projection}." in name]) == 1


@pytest.mark.parametrize("method", PEFT)
def test_the_seed_decides_the_adapter(method):
    first, again, other = (trained.trained_state(applied("bert", method, seed)) for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = any(not torch.equal(first[name], other[name]) for name in first)
    assert drawn == (method not in ("ia3", "oft", "pissa"))  # these start at values that nothing is drawn for


@pytest.mark.parametrize("method", PEFT)
def test_numbers_are_float32_on_a_model_in_half_precision(method):
    model = build("bert").bfloat16()
    methods.of_kind("peft").apply(model, METHODS[method], targets=None, head=["classifier"], basis=None, seed=0)
    dtypes = {p.dtype for name, p in model.named_parameters() if p.requires_grad and "classifier" not in name}
    assert dtypes == {torch.float32}
    assert torch.isfinite(logits(model, "bert")).all()


@pytest.mark.parametrize("method", PEFT)
def test_it_has_no_dropout(method):
    model = applied("bert", method).train()
    plain = {name for name, m in build("bert").named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {name for name, m in model.named_modules() if isinstance(m, torch.nn.Dropout)} == plain


def test_oft_cannot_adapt_gpt2_s_layers_and_says_so():
    with pytest.raises(ValueError, match=r"OFTConfig cannot adapt these layers of GPT2.*Conv1D"):
        applied("gpt2", "oft")
