"""Code that reads `layer.weight` instead of calling the layer works with W', and its gradients reach lambda and S."""

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import timm
import torch
from test_linear import KINDS, PLANS, adapted, dense
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from toy import accumulated, adapt, assert_equal, disturb, gradients, loss_of, outputs

import frod
from frod.method.linear import FrodLinear

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 5}
SWIN = {"img_size": 32, "patch_size": 4, "window_size": 4, "embed_dim": 12, "depths": (2, 2), "num_heads": (2, 4)}
IMAGE, SENTENCE = (2, 3, 32, 32), (2, 5, 16)
swin = partial(SwinTransformer, [4, 4], 12, [2, 2], [2, 2], [4, 4], num_classes=5)


def encoder():
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


# Each reads the weights of these targets itself: of some in every forward, of torch's encoder in evaluation only.
LIBRARIES = {
    "torchvision Swin": (swin, ["attn.qkv", "attn.proj"], IMAGE),
    "torchvision Swin V2": (
        partial(swin, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2),
        ["attn.qkv", "attn.proj"],
        IMAGE,
    ),
    "timm BEiT": (partial(timm.create_model, "beit_base_patch16_224", **VIT), ["attn.qkv"], IMAGE),
    "timm EVA": (partial(timm.create_model, "eva_giant_patch14_224", **VIT), ["attn.qkv"], IMAGE),
    "timm Swin V2": (partial(timm.create_model, "swinv2_tiny_window8_256", **SWIN), ["attn.qkv"], IMAGE),
    "torch's encoder": (encoder, ["linear1", "linear2"], SENTENCE),
}


class Reader(nn.Module):
    """Calls one layer of each block and reads the other."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)}) for _ in range(2))

    def forward(self, x):
        for block in self.blocks:
            x = torch.tanh(block["a"](x))
            x = x + torch.tanh(F.linear(x, block["b"].weight, block["b"].bias))
        return x


def make(plan="auto"):
    torch.manual_seed(0)
    return disturb(adapt(Reader(), ["a", "b"], plan=plan), 0.3)


@pytest.fixture
def x():
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_the_dense_formula_s_weight_and_so_are_its_gradients(kind, plan):
    layer, x, places = adapted(kind, plan)
    W = layer.weight
    y = F.linear(x, W.T if layer.transposed else W, layer.bias)
    reference = dense(layer, x, places, layer.scale, layer.rotation)
    torch.testing.assert_close(y, reference, rtol=1e-12, atol=1e-12)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=y.dtype)
    trained = [layer.scale, layer.rotation]
    ours, theirs = (torch.autograd.grad(tensor, trained, dy) for tensor in (y, reference))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LIBRARIES)
def test_models_that_read_weights_train_evaluate_and_merge_alike(name):
    build, targets, shape = LIBRARIES[name]
    torch.manual_seed(0)
    model = build().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # as timm starts them, branches hide what their layers do
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected = outputs(model, x)
    adapt(model, targets, train=None)
    torch.testing.assert_close(outputs(model, x), expected)  # torch's encoder takes its other path with gradients
    assert all(gradient is not None for gradient in gradients(model, x).values())
    disturb(model, 0.3)
    trained, evaluated = model(x).detach(), outputs(model, x)
    assert (evaluated - expected).abs().max() > 1e-2
    torch.testing.assert_close(evaluated, trained, rtol=1e-4, atol=1e-4)
    assert torch.equal(outputs(frod.merge(model), x), evaluated)


def test_asking_for_dtype_device_or_shape_forms_nothing(monkeypatch):
    """transformers' T5 asks in every forward."""
    layer, _, _ = adapted("tall")
    monkeypatch.setattr(FrodLinear, "form_weight", lambda self: pytest.fail("formed"))
    for mode in (nullcontext(), torch.no_grad()):
        with mode:
            W = layer.weight
            assert isinstance(W, torch.Tensor)
            assert (W.dtype, W.device, W.shape) == (torch.float64, torch.device("cpu"), (9, 5))
            assert (W.dim(), W.numel(), W.stride(), W.is_contiguous()) == (2, 45, (5, 1), True)


def test_a_layer_that_is_both_asked_and_called_keeps_to_its_plan(calls):
    import transformers

    config = transformers.T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    torch.manual_seed(0)
    model = adapt(transformers.T5EncoderModel(config).eval(), ["wi", "wo"], plan="input_side")
    model(torch.arange(10).view(2, 5)).last_hidden_state.square().sum().backward()
    assert not calls


def test_evaluation_forms_once_what_it_reads(calls, x):
    model = make().eval()
    with torch.no_grad():
        first = model(x)
        assert torch.equal(model(x), first)
        assert calls["form_weight"] == 4
        model.blocks[0]["b"].scale.add_(1)
        assert not torch.equal(model(x), first)
    assert calls["form_weight"] == 5


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(x, use_reentrant):
    model = make()
    expected = gradients(model, x.requires_grad_())
    loss_of(partial(checkpoint, model), x, use_reentrant=use_reentrant).backward()
    assert_equal(gradients(model), expected)


def test_accumulation_forms_and_projects_once(calls, x):
    model = make("materialised")
    expected = gradients(model, x)
    calls.clear()
    assert_equal(accumulated(model, *({"x": part} for part in x.split(2))), expected, rtol=1e-4, atol=1e-5)
    assert calls == {"form_weight": 4, "project": 4}


def test_autocast_rounds_it_as_any_weight(x):
    model = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = outputs(model, x)
    frod.merge(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(outputs(model, x), y)
    assert y.dtype == torch.bfloat16


def test_compiled_models_read_it_too(x):
    torch._dynamo.reset()
    eager = make()
    compiled = torch.compile(copy.deepcopy(eager), backend="aot_eager")
    for _ in range(2):
        torch.testing.assert_close(compiled.train()(x), eager.train()(x))
        assert_equal(gradients(compiled, x), gradients(eager, x))
        torch.testing.assert_close(outputs(compiled, x), outputs(eager, x))
        disturb(eager, 0.3)
        disturb(compiled, 0.3)
    torch._dynamo.reset()


def test_of_a_layer_without_an_adapter_in_use_it_is_the_frozen_weight():
    layer, _, _ = adapted("square")
    layer.use(None)
    assert layer.weight is layer.base.weight


def test_writing_to_it_is_refused():
    """Nothing would come of it: the weight is computed again."""
    layer, _, _ = adapted("square")
    with torch.no_grad(), pytest.raises(ValueError, match="writes to the weight of an adapted layer"):
        layer.weight.mul_(2)
    with pytest.raises(ValueError, match="writes to the weight of an adapted layer"):
        nn.init.normal_(layer.weight)
