"""Each way of fine-tuning trains what it should, leaves the rest frozen, and says what is wrong with its settings."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

import frod
from frod.config import Method, Rates
from frod.training import methods
from frod.training.methods import trained

HEAD = ["classifier"]
LORA = Method(kind="peft", config="LoraConfig", arguments={"r": 2, "lora_alpha": 4})


@pytest.fixture(scope="module")
def bert():
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=50, num_labels=3
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def basis(bert):
    return frod.extract_basis(bert, progress=False)


def applied(bert, basis, adapter, seed=0):
    model = copy.deepcopy(bert)
    methods.of_kind(adapter.kind).apply(model, adapter, targets=None, head=HEAD, basis=basis, seed=seed)
    return model


METHODS = {
    "full_ft": (Method(kind="full_ft"), Rates(lr=1e-3, lr_head=1e-2)),
    "linear_probe": (Method(kind="linear_probe"), Rates(lr_head=1e-2)),
    "frod": (Method(kind="frod", sparse_rate=0.05), Rates(lr_scale=1e-3, lr_rotation=1e-4, lr_head=1e-2)),
    "lora": (LORA, Rates(lr=1e-3, lr_head=1e-2)),
}


@pytest.mark.parametrize("name", METHODS)
def test_groups_hold_every_trained_parameter_once_at_its_rate(bert, basis, name):
    adapter, rates = METHODS[name]
    model = applied(bert, basis, adapter)
    groups = methods.of_kind(adapter.kind).groups(model, rates, HEAD, 0.01)
    grouped = [p for group in groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(grouped) == len({id(p) for p in grouped})
    by_name = {group["name"]: group for group in groups}
    assert by_name["head"]["lr"] == 1e-2
    assert sum(p.numel() for p in by_name["head"]["params"]) == 3 * 16 + 3
    if name == "frod":
        assert by_name["scale"]["weight_decay"] == 0.0  # lambda is the pretrained weight: decay would pull it to zero


@pytest.mark.parametrize("name", METHODS)
def test_counts_agree_with_what_is_trained(bert, basis, name):
    model = applied(bert, basis, METHODS[name][0])
    found = trained.count(model, HEAD)
    per_layer = {
        "frod": 2 * (5 * (16 + int(0.05 * 256)) + 24 + int(0.05 * 576)),
        "lora": 2 * 2 * (4 * (16 + 16) + 2 * (16 + 24)),
        "linear_probe": 0,
        "full_ft": sum(p.numel() for p in bert.parameters()) - 51,
    }
    assert found == {"adapter": per_layer[name], "head": 51, "total": per_layer[name] + 51}


@pytest.mark.parametrize("name", METHODS)
def test_a_step_changes_what_is_trained_and_nothing_else(bert, basis, name):
    adapter, rates = METHODS[name]
    model = applied(bert, basis, adapter)
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    optimiser = torch.optim.AdamW(methods.of_kind(adapter.kind).groups(model, rates, HEAD, 0.0))
    ids = torch.arange(12).view(2, 6)
    for _ in range(2):  # LoRA's B is zero at first, so that A moves in the second step
        torch.nn.functional.cross_entropy(model(input_ids=ids).logits, torch.tensor([0, 2])).backward()
        optimiser.step()
        optimiser.zero_grad()
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)
    start = dict(applied(bert, basis, adapter).named_parameters())
    used = [n for n, p in model.named_parameters() if p.requires_grad and "position" not in n]
    assert sum(not torch.equal(model.get_parameter(n), start[n]) for n in used) >= 0.95 * len(used)


@pytest.mark.parametrize("name", ["full_ft", "linear_probe", "lora"])
def test_what_is_saved_restores_the_outputs(bert, basis, name, tmp_path):
    model = applied(bert, basis, METHODS[name][0])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    trained.save(model, tmp_path / "adapter.safetensors", METHODS[name][0].kind)
    again = applied(bert, basis, METHODS[name][0])
    again.load_state_dict(load_file(tmp_path / "adapter.safetensors"), strict=False)
    ids = torch.arange(12).view(2, 6)
    assert torch.equal(model(input_ids=ids).logits, again(input_ids=ids).logits)


def test_peft_s_methods_adapt_every_layer_that_frod_does_a_fused_one_as_a_whole():
    import timm

    vit = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=8, patch_size=4, embed_dim=12, num_classes=3)

    def adapted(targets):
        model = copy.deepcopy(vit)
        methods.of_kind("peft").apply(model, LORA, targets=targets, head=["head"], basis=None, seed=0)
        return {name.removesuffix(".lora_A") for name, _ in model.named_modules() if name.endswith(".lora_A")}

    layers = {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}
    assert adapted(None) == {f"blocks.{i}.{layer}" for i in range(2) for layer in layers}
    assert adapted(["qkv"]) == {f"blocks.{i}.attn.qkv" for i in range(2)}
    with pytest.raises(ValueError, match=r"2 of the 3 roles of 'blocks\.0\.attn\.qkv' are named"):
        adapted(["qkv.q", "qkv.v"])


def test_an_adapter_s_start_depends_on_its_seed_alone(bert, basis):
    torch.manual_seed(1)
    first = trained.trained_state(applied(bert, basis, LORA, seed=5))
    before = torch.get_rng_state()
    again = trained.trained_state(applied(bert, basis, LORA, seed=5))
    other = trained.trained_state(applied(bert, basis, LORA, seed=6))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        ("LoraConfg", {}, "'LoraConfg' is no configuration class of peft"),
        ("LoraConfig", {"rank": 4}, "LoraConfig does not take these arguments"),
    ],
)
def test_wrong_settings_of_a_peft_method_are_named(bert, basis, config, arguments, message):
    with pytest.raises(ValueError, match=message):
        applied(bert, basis, Method(kind="peft", config=config, arguments=arguments))
