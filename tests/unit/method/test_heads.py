"""What trains in full: the head that is found by default, tied modules as one, and what cannot be a head."""

import copy
import warnings

import pytest
import timm
import torch
import transformers as t
from torch import nn
from toy import disturb, outputs

import frod
from frod.method import heads

BERT = t.BertConfig(hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, vocab_size=10)
TIED = ["lm_head", "transformer.wte"]
IDS = torch.arange(1, 9).view(2, 4)


@pytest.fixture
def gpt2():
    torch.manual_seed(0)
    config = t.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return t.GPT2LMHeadModel(config).eval()


def logits(model):
    return outputs(model, IDS).logits


def attached(model, **settings):
    return frod.attach(model, frod.extract_basis(model, progress=False), **settings)


def groups(model):
    return [g["name"] for g in frod.parameter_groups(model, lr_scale=1, lr_rotation=1, lr_head=1)]


def vit(num_classes):
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=num_classes, **sizes)


def test_what_transformers_drew_anew_is_found(tmp_path):
    t.BertModel(BERT).save_pretrained(tmp_path)
    model = t.BertForSequenceClassification.from_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"\['classifier'\] is taken for the head and trains in full"):
        attached(model)
    assert frod.count_parameters(model)["head"] == 8 * 2 + 2
    assert "head" in groups(model)
    model.train()(IDS, labels=torch.tensor([0, 1])).loss.backward()
    assert model.classifier.weight.grad.any()


def test_a_head_that_was_loaded_is_none_of_them(tmp_path):
    t.BertForSequenceClassification(BERT).save_pretrained(tmp_path)
    model = t.BertForSequenceClassification.from_pretrained(tmp_path)
    assert heads.find(model) == ()
    model.classifier = nn.Linear(8, 5)
    assert heads.find(model) == ("classifier",)


@pytest.mark.parametrize(
    "model, expected",
    [
        (lambda build: build("bert"), ("classifier",)),
        (lambda build: build("llama"), ("score",)),
        (lambda build: t.BertForQuestionAnswering(BERT), ("qa_outputs",)),
        (lambda build: build("causal"), ()),
        (lambda build: t.BertModel(BERT), ()),
        (lambda build: vit(3), ("head",)),
        (lambda build: vit(0), ()),
    ],
)
def test_otherwise_names_tell(build, model, expected):
    assert heads.find(model(build)) == expected


def test_a_target_is_no_head():
    model = nn.ModuleDict({"fc": nn.Linear(4, 4), "head": nn.ModuleDict({"q": nn.Linear(4, 4)})})
    assert heads.find(model) == ("fc", "head")
    assert heads.find(model, ["fc", "head.q"]) == ()


def test_an_empty_list_means_none_and_is_not_spoken_of():
    model = vit(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attached(model, train=[])
    assert frod.count_parameters(model)["head"] == 0
    assert groups(model) == ["scale", "rotation"]


def test_predicted_is_what_attaching_takes():
    model = vit(3)
    predicted = frod.predict_parameters(model)
    with pytest.warns(UserWarning, match="taken for the head"):
        assert frod.count_parameters(attached(model)) == predicted
    assert predicted["head"] == 24 * 3 + 3


def test_a_head_without_parameters_is_refused():
    with pytest.raises(ValueError, match=r"'head', which has no parameters \(Identity\).*reset_classifier"):
        attached(vit(0), train=["head"])


@pytest.mark.parametrize("name, other", [TIED, TIED[::-1]])
def test_one_of_two_tied_modules_is_refused_and_the_other_named(gpt2, name, other):
    before = copy.deepcopy(gpt2.state_dict())
    with pytest.raises(ValueError, match=rf"'{name}.weight' in it is one with '{other}.weight'.*'{other}'\], to train"):
        attached(gpt2, train=[name])
    assert all(torch.equal(tensor, before[key]) for key, tensor in gpt2.state_dict().items())


def test_parameters_in_one_memory_are_tied_whatever_they_are_called():
    memory = torch.randn(20)
    body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False))
    model = nn.ModuleDict({"body": body, "head": nn.Linear(4, 2)})
    body[2].weight = nn.Parameter(memory[:16].view(4, 4))
    model["head"].weight = nn.Parameter(memory[12:].view(2, 4))
    basis = frod.extract_basis(model, ["0", "1"], progress=False)
    with pytest.raises(ValueError, match=r"'head.weight' in it is one with 'body.2.weight' in memory"):
        frod.attach(model, basis, train=["head"])
    model["head"].weight = nn.Parameter(torch.cat([memory, memory])[16:24].view(2, 4))
    body[2].weight = nn.Parameter(memory[:16].view(4, 4))
    frod.attach(model, basis, train=["head"])  # next to each other in one memory, or apart: no tie


def test_both_train_as_one_and_come_back_from_disk(gpt2, tmp_path):
    plain = copy.deepcopy(gpt2)
    model = attached(gpt2, train=TIED)
    assert frod.count_parameters(model)["head"] == 50 * 16
    assert frod.predict_parameters(plain, train=TIED) == frod.count_parameters(model)
    (head,) = [g["params"] for g in frod.parameter_groups(model, lr_scale=1, lr_rotation=1, lr_head=1)][2:]
    assert len(head) == 1
    assert head[0] is model.lm_head.weight is model.transformer.wte.weight
    disturb(model)
    frod.save_adapter(model, tmp_path / "a")
    loaded = frod.load_adapter(copy.deepcopy(plain), tmp_path / "a", frod.extract_basis(plain, progress=False))
    assert torch.equal(logits(loaded), logits(model))
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert not torch.equal(logits(loaded), logits(plain))


def test_a_second_adapter_starts_at_the_base_and_stays_tied(gpt2):
    base, basis = logits(gpt2), frod.extract_basis(gpt2, progress=False)
    frod.attach(gpt2, basis, train=TIED, name="a")
    first = logits(disturb(gpt2))
    for name, head in (("b", TIED), ("c", [])):
        frod.attach(gpt2, basis, train=head, name=name)
        assert torch.equal(logits(gpt2), base)
        assert gpt2.lm_head.weight is gpt2.transformer.wte.weight
    assert torch.equal(logits(frod.set_adapter(gpt2, "a")), first)
    assert gpt2.lm_head.weight is gpt2.transformer.wte.weight


def test_tied_modules_go_to_peft_and_back(gpt2, tmp_path):
    plain = copy.deepcopy(gpt2)
    model = disturb(attached(gpt2, train=TIED, sparse_rate=0.1))
    frod.to_peft(model, tmp_path)
    torch.testing.assert_close(logits(frod.from_peft(plain, tmp_path)), logits(model), atol=1e-4, rtol=1e-4)


def test_a_refused_head_leaves_the_adapter_in_use_alone(make_model):
    model, x = make_model(), torch.randn(2, 3, 8)
    model.head = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    basis = frod.extract_basis(model, ["up"], progress=False)
    frod.attach(model, basis, train=["head"], name="a")
    disturb(model)
    before = model(x)
    with pytest.raises(ValueError, match=r"train names 'head.1', another adapter of this model 'head'"):
        frod.attach(model, basis, train=["head.1"], name="b")
    assert torch.equal(model(x), before)
    frod.set_adapter(model, "a")
    assert torch.equal(model(x), before)


def test_modules_drawn_at_random_that_no_file_will_have_are_named(tmp_path):
    sizes = {"dim": 8, "hidden_dim": 16, "n_layers": 2, "n_heads": 2, "vocab_size": 10}
    t.DistilBertModel(t.DistilBertConfig(**sizes)).save_pretrained(tmp_path)
    model = t.DistilBertForSequenceClassification.from_pretrained(tmp_path)
    basis = frod.extract_basis(model, ["q_lin", "v_lin"], progress=False)
    with pytest.warns(UserWarning, match=r"\['pre_classifier'\] came with no weights .* not saved"):
        frod.attach(model, basis, train=["classifier"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frod.attach(model, basis, train=["pre_classifier", "classifier"], name="second")
