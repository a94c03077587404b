"""The named methods on every architecture: each starts as the plain model, trains what it should and nothing else,
counts as in its paper and comes back from its file: a comparison is worth no more than its weakest adapter."""

import math

import pytest
import torch
from safetensors.torch import load_file
from small_models import HEADS, METHODS, SHAPES, applied, build, logits

from frod.config import Rates
from frod.training import methods
from frod.training.methods import trained

PEFT = [name for name, method in METHODS.items() if method.kind == "peft"]
CASES = [(a, m) for a in SHAPES for m in PEFT if (a, m) != ("gpt2", "oft")]
OTHERS = [(a, "frod") for a in SHAPES] + [("bert", "full_ft"), ("bert", "linear_probe")]
RATES = {
    "frod": Rates(lr_scale=1e-3, lr_rotation=1e-4, lr_head=1e-2),
    "full_ft": Rates(lr=1e-3, lr_head=1e-2),
    "linear_probe": Rates(lr_head=1e-2),
    "peft": Rates(lr=1e-3, lr_head=1e-2),
}
LABELS = torch.tensor([0, 2])


def groups(model, architecture, method, weight_decay=0.0):
    kind = METHODS[method].kind
    return methods.of_kind(kind).groups(model, RATES[kind], HEADS[architecture], weight_decay)


def step(model, architecture, method):
    """One optimiser step on the fixed batch; the loss before it."""
    optimiser = torch.optim.AdamW(groups(model, architecture, method))
    loss = torch.nn.functional.cross_entropy(logits(model, architecture), LABELS)
    optimiser.zero_grad()
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


@pytest.mark.parametrize("method", ["full_ft", "linear_probe", "frod", "lora"])
def test_groups_hold_every_trained_parameter_once_at_its_rate(method):
    model = applied("bert", method)
    found = groups(model, "bert", method, weight_decay=0.01)
    grouped = [id(p) for group in found for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    by_name = {group["name"]: group for group in found}
    assert by_name["head"]["lr"] == 1e-2
    assert sum(p.numel() for p in by_name["head"]["params"]) == 3 * 32 + 3
    if method == "frod":
        assert by_name["scale"]["weight_decay"] == 0.0  # lambda is the pretrained weight: decay would pull it to zero


@pytest.mark.parametrize(("architecture", "method"), CASES + OTHERS)
def test_steps_train_all_of_adapters_and_head_and_nothing_else_and_lower_the_loss(architecture, method):
    model = applied(architecture, method)
    start = {name: p.clone() for name, p in model.named_parameters()}
    before = step(model, architecture, method)
    after = step(model, architecture, method)  # LoRA's B is zero at first, so that A moves in the second step
    assert after < before
    moved = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            assert torch.isfinite(parameter.grad).all()
            moved.append(not torch.equal(parameter, start[name]))
        else:
            assert torch.equal(parameter, start[name])
    assert sum(moved) >= 0.95 * len(moved)


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
        "frod": n + int(0.01 * n * n),
        "linear_probe": 0,
    }[method]


@pytest.mark.parametrize(("architecture", "method"), CASES + OTHERS)
def test_it_counts_as_in_its_paper(architecture, method):
    model, shapes = build(architecture), SHAPES[architecture]
    head = sum(p.numel() for name in HEADS[architecture] for p in model.get_submodule(name).parameters())
    if (architecture, method) == ("timm", "frod"):  # the roles of a fused qkv have numbers of their own
        shapes = [(32, 32)] * 3 + shapes[1:]
    if method == "full_ft":
        expected = sum(p.numel() for p in model.parameters()) - head
    else:
        expected = 2 * sum(per_layer(method, m, n) for m, n in shapes)
    found = trained.count(applied(architecture, method), HEADS[architecture])
    assert found == {"adapter": expected, "head": head, "total": expected + head}


@pytest.mark.parametrize(
    ("architecture", "method"),
    [("bert", m) for m in [*PEFT, "full_ft", "linear_probe"]] + [("timm", "vera"), ("gpt2", "pissa")],
)
def test_its_file_gives_the_outputs_back(architecture, method, tmp_path):
    model = applied(architecture, method, seed=1)
    for _ in range(2):
        step(model, architecture, method)
    trained.save(model, tmp_path / "adapter.safetensors", METHODS[method].kind)
    stored = load_file(tmp_path / "adapter.safetensors")
    expected = logits(model, architecture)
    assert not torch.allclose(expected, logits(build(architecture), architecture), rtol=1e-4)
    for seed in (1, 2):  # another seed's projections are overwritten by the file's, and PiSSA is exact
        again = applied(architecture, method, seed=seed)
        again.load_state_dict(stored, strict=False)
        assert torch.equal(logits(again, architecture), expected)


@pytest.mark.parametrize("projection", ["vera_A", "vera_B", "randlora_A", "randlora_B"])
def test_projections_that_layers_share_are_kept_once(projection):
    names = trained.trained_state(applied("bert", projection.partition("_")[0]))
    assert len([name for name in names if f".{projection}." in name]) == 1


@pytest.mark.parametrize("method", PEFT)
def test_the_seed_alone_decides_the_adapter(method):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (trained.trained_state(applied("bert", method, seed)) for seed in (5, 5, 6))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = any(not torch.equal(first[name], other[name]) for name in first)
    assert drawn == (method not in ("ia3", "oft", "pissa"))  # these start at values that nothing is drawn for


@pytest.mark.parametrize("method", PEFT)
def test_numbers_are_float32_on_a_model_in_half_precision(method):
    model = applied("bert", method, model=build("bert").bfloat16())
    dtypes = {p.dtype for name, p in model.named_parameters() if p.requires_grad and "classifier" not in name}
    assert dtypes == {torch.float32}
    assert torch.isfinite(logits(model, "bert")).all()


@pytest.mark.parametrize("method", PEFT)
def test_it_has_no_dropout(method):
    def dropouts(model):
        return {name for name, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}

    assert dropouts(applied("bert", method).train()) == dropouts(build("bert"))


def test_oft_cannot_adapt_gpt2_s_layers_and_says_so():
    with pytest.raises(ValueError, match=r"OFTConfig cannot adapt these layers of GPT2.*Conv1D"):
        applied("gpt2", "oft")


def test_peft_s_methods_adapt_every_layer_that_frod_does_a_fused_one_as_a_whole():
    def adapted(targets):
        model = applied("timm", "lora", targets=targets)
        return {name.removesuffix(".lora_A") for name, _ in model.named_modules() if name.endswith(".lora_A")}

    layers = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}
    assert adapted(None) == {f"blocks.{i}.{layer}" for i in range(2) for layer in layers}
    assert adapted(["qkv"]) == {f"blocks.{i}.attn.qkv" for i in range(2)}
    with pytest.raises(ValueError, match=r"2 of the 3 roles of 'blocks\.0\.attn\.qkv' are named"):
        adapted(["qkv.q", "qkv.v"])
