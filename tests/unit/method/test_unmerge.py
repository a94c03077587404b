"""What `merge(model, keep=True)` folded in, `unmerge` takes out again, bit for bit, and training goes on."""

import copy

import pytest
import torch
from toy import TARGETS, adapt, disturb, outputs

import frod

X = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(1))


def everything(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_adapted_model_is_back_to_the_bit(make_model, make_adapted, dtype):
    model, _ = make_adapted(dtype, by=0.1)
    x, before, tuned = X.to(dtype), everything(model), outputs(model, X.to(dtype))
    frozen = outputs(make_model(dtype), x)
    for _ in range(2):
        assert frod.merge(model, keep=True) is model
        assert type(model.blocks[0].up) is torch.nn.Linear
        torch.testing.assert_close(outputs(model, x), tuned)
        assert frod.unmerge(model) is model
        assert torch.equal(outputs(model, x), tuned)
        assert everything(model).keys() == before.keys()
        assert all(torch.equal(tensor, before[name]) for name, tensor in everything(model).items())
    with frod.disabled(model):
        assert torch.equal(outputs(model, x), frozen)


def test_training_goes_on_with_the_same_optimiser(make_adapted):
    def train(between):
        model, _ = make_adapted(by=0.1)
        optimiser = torch.optim.AdamW(frod.parameter_groups(model, lr_scale=0.01, lr_rotation=0.01, lr_head=0.01))
        for _ in range(3):
            model(X).square().mean().backward()
            optimiser.step()
            optimiser.zero_grad()
            between(model)
        return outputs(model, X)

    untouched = train(lambda model: None)
    assert torch.equal(train(lambda model: frod.unmerge(frod.merge(model, keep=True))), untouched)


@pytest.mark.parametrize("name", ["timm", "bert"])
def test_fused_layers_and_what_a_model_of_transformers_is_saved_as(build, tmp_path, name):
    torch.manual_seed(0)
    model = build(name, "cpu").eval()
    x = torch.randn(2, 3, 8, 8) if name == "timm" else torch.arange(1, 9).view(2, 4)
    disturb(adapt(model, ["qkv.q", "qkv.v", "attn.proj"] if name == "timm" else None))
    before, tuned = everything(model), outputs(model, x)
    frod.unmerge(frod.merge(model, keep=True))
    assert all(torch.equal(tensor, before[key]) for key, tensor in everything(model).items())
    if name == "timm":
        assert torch.equal(outputs(model, x), tuned)
        return
    model.save_pretrained(tmp_path)
    assert torch.equal(outputs(type(model).from_pretrained(tmp_path), x).logits, tuned.logits)


def test_all_adapters_hooks_and_copies(make_adapted):
    model, basis = make_adapted(by=0.1)
    first = outputs(model, X)
    disturb(frod.attach(model, basis, sparse_rate=0.2, seed=5, name="second", train=["head"]), seed=3)
    second, seen = outputs(model, X), []
    model.blocks[0].up.register_forward_hook(lambda *_: seen.append(1))
    other = copy.deepcopy(frod.merge(model, keep=True))
    for merged in (model, other):
        assert torch.equal(outputs(frod.unmerge(merged), X), second)
        assert torch.equal(outputs(frod.set_adapter(merged, "default"), X), first)
    assert len(seen) == 4


def test_what_was_not_kept_cast_or_adapted_again_is_refused(make_adapted):
    model, _ = make_adapted(by=0.1)
    with pytest.raises(ValueError, match=r"this Toy has nothing to unmerge; merge it with merge\(model, keep=True\)"):
        frod.unmerge(frod.merge(model))
    model, _ = make_adapted(by=0.1)
    frod.merge(model, keep=True)
    with pytest.raises(ValueError, match=r"merged as torch.float32 and is torch.bfloat16 now; cast the model back"):
        frod.unmerge(model.bfloat16())
    adapt(model.float(), TARGETS)
    with pytest.raises(ValueError, match="has got an adapter since it was merged; merge that one first"):
        frod.unmerge(model)
    with pytest.raises(ValueError, match="nothing to unmerge"):
        frod.unmerge(frod.merge(model))
