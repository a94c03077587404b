"""Hooks of a layer are called around the adapted one in its place, once, and go back to the layer with merging."""

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, ModelHook, add_hook_to_module, remove_hook_from_module
from torch import nn
from torch.nn import functional as F
from toy import adapt

import frod

N = 8
REGISTER = {
    "forward": (nn.Module.register_forward_hook, {}),
    "forward with names": (nn.Module.register_forward_hook, {"with_kwargs": True}),
    "forward, always": (nn.Module.register_forward_hook, {"always_call": True}),
    "before": (nn.Module.register_forward_pre_hook, {}),
    "before, with names": (nn.Module.register_forward_pre_hook, {"with_kwargs": True}),
    "backward": (nn.Module.register_full_backward_hook, {}),
    "before backward": (nn.Module.register_full_backward_pre_hook, {}),
}


def register(kind, layer, seen):
    """A hook that notes the shapes of the tensors that it is given first and last."""

    def note(module, first, *rest):
        last = rest[-1] if rest and isinstance(rest[-1], torch.Tensor | tuple) else first
        seen.append(tuple((t[0] if isinstance(t, tuple) else t).shape for t in (first, last)))

    how, options = REGISTER[kind]
    return how(layer, note, **options)


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(N, N), nn.Linear(N, N))


def attach(model, targets=("0", "1")):
    return adapt(model, list(targets))


def step(model):
    model(torch.ones(2, N, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("adapted_first", [False, True])
@pytest.mark.parametrize("kind", REGISTER)
def test_a_hook_is_called_once_before_and_after_merging_until_it_is_removed(kind, adapted_first):
    model, seen = plain(), []
    if adapted_first:
        attach(model)
    handle = register(kind, model[1], seen)
    if not adapted_first:
        attach(model)
    step(model)
    assert seen == [((2, N), (2, N))]
    frod.merge(model)
    step(model)
    assert len(seen) == 2
    attach(model)
    handle.remove()
    step(model)
    assert len(seen) == 2


def test_what_a_hook_changes_is_what_the_layer_gets():
    model = plain()
    model[0].register_forward_pre_hook(lambda m, x: (2 * x[0],))
    model[0].register_forward_hook(lambda m, x, y: y + 1)
    x = torch.randn(3, N)
    expected = model[1](F.linear(2 * x, model[0].weight, model[0].bias) + 1)
    assert torch.equal(attach(model)(x), expected)


@pytest.mark.parametrize("roles", [["qkv"], ["q", "v"]])
def test_a_fused_layer_has_its_hooks_called_once(roles):
    model, seen = nn.ModuleDict({"qkv": nn.Linear(N, 3 * N)}), []
    register("forward", model["qkv"], seen)
    attach(model, roles)
    model["qkv"](torch.ones(2, N))
    frod.merge(model)["qkv"](torch.ones(2, N))
    assert seen == [((2, N), (2, 3 * N))] * 2


def test_a_quantised_layer_has_its_hooks_called_once():
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear8bitLt(N, N, has_fp16_weights=False)
    layer.weight = bnb.nn.Int8Params(torch.randn(N, N), requires_grad=False, has_fp16_weights=False)
    model, seen = nn.Sequential(layer.to("cpu")), []
    model[0].register_forward_hook(lambda m, x, y: seen.append(y.shape))
    attach(model, ["0"])
    model(torch.ones(2, N))
    assert seen == [(2, N)]


def test_accelerates_hooks_stay_too():
    """They are no hooks of torch's, but a forward in front of the layer's own."""

    class Doubling(ModelHook):
        def pre_forward(self, module, x):
            return (2 * x,), {}

        def post_forward(self, module, output):
            return output + 1

    model = plain()
    add_hook_to_module(model[0], Doubling())
    add_hook_to_module(model[1], AlignDevicesHook(execution_device=torch.device("cpu")))
    x = torch.randn(3, N)
    expected = model(x)
    assert not torch.equal(expected, plain()(x))
    assert torch.equal(attach(model)(x), expected)
    assert torch.equal(frod.merge(model)(x), expected)
    attach(model)
    remove_hook_from_module(model[0])
    assert torch.equal(model(x), plain()(x))
    frod.merge(model)
    assert all("forward" not in vars(layer) for layer in model[:1])
    remove_hook_from_module(model[1])
    assert torch.equal(model(x), plain()(x))


class Listed(nn.Module):
    """Keeps its layers in a list, too, and calls them there."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(N, N)
        self.qkv = nn.Linear(N, 3 * N)
        self.listed = [self.a, self.qkv]

    def forward(self, x):
        for layer in self.listed:
            x = layer(x)
        return x


@pytest.mark.parametrize("target", ["a", "qkv"])
def test_a_layer_called_past_its_adapter_is_refused(target):
    """No gradient would come, and nothing be said."""
    model, x = Listed(), torch.ones(2, N)
    expected = model(x)
    attach(model, [target])
    with pytest.raises(ValueError, match=f"'{target}' was called past its adapter"):
        model(x)
    assert torch.equal(frod.merge(model)(x), expected)
