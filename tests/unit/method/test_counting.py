"""Counts of what trains, against the released figures for the three models of the paper (built on the meta device)."""

import pytest
import torch
import transformers as t

import frod


def clip():
    return t.CLIPVisionModel(t.CLIPVisionConfig())  # the defaults are ViT-B/32


def roberta():
    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = t.RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, **sizes)
    return t.RobertaForSequenceClassification(config)


def llama():
    return t.LlamaForSequenceClassification(t.LlamaConfig())  # the defaults are Llama-2-7B


@pytest.mark.parametrize(
    "build, head, rate, adapter, of_base, of_both",
    [
        (clip, [], 0.01, 1_569_276, 1.794, 1.763),
        (roberta, ["classifier"], 0.02, 10_790_760, 3.046, 2.956),
        (llama, ["score"], 0.02, 65_210_880, 0.987, 0.977),
    ],
)
def test_the_released_figures(build, head, rate, adapter, of_base, of_both):
    with torch.device("meta"):
        model = build()
    counts = frod.predict_parameters(model, sparse_rate=rate, train=head)
    assert counts["adapter"] == adapter
    assert round(counts["adapter/base %"], 3) == of_base
    assert round(counts["adapter/(base+adapter) %"], 3) == of_both


def test_stanford_cars_with_its_head_is_a_round_number():
    # 196 classes on CLIP's 768 features: adapter and head together are 1,720,000.
    with torch.device("meta"):
        model = torch.nn.ModuleDict({"body": clip(), "head": torch.nn.Linear(768, 196)})
    counts = frod.predict_parameters(model, sparse_rate=0.01, train=["head"])
    assert counts["trainable"] == 1_720_000
    assert counts["head"] == 150_724


def test_prediction_is_what_attaching_gives(make_model, make_adapted):
    targets = ["attention", "up", "down", "conv"]
    predicted = frod.predict_parameters(make_model(), targets, sparse_rate=0.1, train=["head"])
    model, _ = make_adapted()
    counts = frod.count_parameters(model)
    assert counts == predicted
    assert counts["trainable"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    # 3 blocks of widths 8, 8, 24, 8 with int(0.1 n^2) entries; the head is 8 x 2 + 2.
    assert counts["adapter"] == 3 * (3 * (8 + 6) + 24 + 57)
    assert counts["head"] == 18
    assert counts["base"] == sum(p.numel() for p in make_model().parameters()) - 18
    a, h, b = counts["adapter"], 18, counts["base"]
    assert counts["(adapter+head)/base %"] == pytest.approx(100 * (a + h) / b)
    assert counts["(adapter+head)/(base+adapter+head) %"] == pytest.approx(100 * (a + h) / (a + b + h))
    assert counts["adapter/(base+head) %"] == pytest.approx(100 * a / (b + h))


def test_another_adapter_is_no_part_of_the_base(make_model, make_adapted):
    model, basis = make_adapted(sparse_rate=0.1)
    alone = frod.count_parameters(model)
    frod.attach(model, basis, sparse_rate=0.2, train=["head"], name="second")
    assert frod.count_parameters(model)["base"] == alone["base"]
    assert frod.count_parameters(frod.set_adapter(model, "default")) == alone


def test_counting_needs_the_right_kind_of_model(make_model, make_adapted):
    with pytest.raises(ValueError, match="no FRoD adapter"):
        frod.count_parameters(make_model())
    with pytest.raises(ValueError, match="already; count_parameters"):
        frod.predict_parameters(make_adapted()[0], ["up"])
