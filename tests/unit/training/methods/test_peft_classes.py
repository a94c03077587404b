"""Any configuration class of peft that adapts linear layers works from a suite file; the others are refused with the
reason, or a run would train something else than its name says."""

import logging

import pytest
import small_models
import torch
from small_models import logits

from frod.config import Method
from frod.training.methods import peft, trained


def applied(config, seed=0, **arguments):
    return small_models.applied("bert", Method(kind="peft", config=config, arguments=arguments), seed)


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        ("LoHaConfig", {}),
        ("LoKrConfig", {}),
        ("BOFTConfig", {"boft_block_size": 4}),
        ("HRAConfig", {}),
        ("FourierFTConfig", {"n_frequency": 10}),
        ("C3AConfig", {"block_size": 8}),
        ("MissConfig", {"r": 8}),
        ("WaveFTConfig", {"n_frequency": 10}),
        ("VBLoRAConfig", {"vector_length": 8, "num_vectors": 8, "topk": 2}),
        ("FrodConfig", {"sparse_rate": 0.05}),
    ],
)
def test_other_classes_train_on_the_target_layers(config, arguments):
    model = applied(config, **arguments)
    head = sum(p.numel() for p in model.classifier.parameters())
    assert trained.count(model, ["classifier"])["adapter"] > 0
    assert trained.count(model, ["classifier"])["head"] == head
    torch.nn.functional.cross_entropy(logits(model, "bert"), torch.tensor([0, 2])).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_places_that_a_class_draws_by_a_seed_of_its_own_follow_the_run_s():
    outputs = [
        logits(applied("FourierFTConfig", seed=seed, n_frequency=10, init_weights=True), "bert") for seed in (1, 1)
    ]
    assert torch.equal(*outputs)
    places = [
        trained_places(applied("FourierFTConfig", seed=seed, n_frequency=10, **arguments))
        for seed, arguments in [(1, {}), (2, {}), (1, {"random_loc_seed": 7}), (2, {"random_loc_seed": 7})]
    ]
    assert not torch.equal(places[0], places[1])
    assert torch.equal(places[2], places[3])  # what the suite says stays


def trained_places(model):
    return next(m.indices["default"] for m in model.modules() if hasattr(m, "indices") and "default" in m.indices)


def test_feedforward_modules_of_ia3_can_be_given():
    model = applied("IA3Config", feedforward_modules=r".*\.(intermediate|output)\.dense")
    lengths = {
        name.removesuffix(".ia3_l.default").partition("layer.0.")[2]: p.numel()
        for name, p in model.named_parameters()
        if "layer.0" in name and p.requires_grad
    }
    assert lengths["intermediate.dense"] == 32
    assert lengths["output.dense"] == 64
    assert lengths["attention.self.key"] == 32


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        ("LoraConfg", {}, "'LoraConfg' is no configuration class of peft; did you mean 'LoraConfig'"),
        ("Xyz", {}, "'Xyz' is no configuration class of peft; there are .*'LoraConfig'"),
        ("PromptTuningConfig", {"num_virtual_tokens": 4}, "it has no target_modules"),
        ("PrefixTuningConfig", {}, "it has no target_modules"),
        ("LNTuningConfig", {}, "meant for the norms"),
        ("AdaLoraConfig", {}, "by calls during the training"),
        ("PolyConfig", {}, "PolyConfig works outside of the layers"),
        ("LoraConfig", {"rank": 4}, "arguments.rank: LoraConfig has no such argument; did you mean 'r'"),
        ("OFTConfig", {"r": 4, "oft_block_size": 8}, "OFTConfig does not take these arguments.*only specify either"),
        ("LoraConfig", {"r": 0}, "LoraConfig cannot adapt these layers of BertForSequenceClassification.*positive"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(config, arguments, message):
    with pytest.raises(ValueError, match=message):
        applied(config, **arguments)


def test_a_faster_kernel_that_bitsandbytes_lacks_is_no_news():
    peft.configuration_class("LoraConfig")
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)
