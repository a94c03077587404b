"""A folder of `save_pretrained` gives the same outputs on the pretrained weights, by the model or by its name alone."""

import contextlib
import io
import json

import pytest
import torch

import frod

IDS = torch.arange(1, 9).view(2, 4)
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def bert(seed=0, labels=3, **sizes):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    config = BertConfig(**SIZES | {"vocab_size": 10, "pad_token_id": 0, "num_labels": labels} | sizes)
    return BertForSequenceClassification(config).eval()


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.fixture
def base(tmp_path):
    """The folder of a pretrained encoder; heads are drawn."""
    bert().bert.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def tuned(base):
    """A model made from it, whose adapter is no longer at its start."""

    def make(dtype=torch.float32):
        from transformers import BertForSequenceClassification

        model = BertForSequenceClassification.from_pretrained(base, num_labels=3, dtype=dtype)
        basis = frod.extract_basis(model, progress=False)
        frod.attach(model, basis, sparse_rate=0.1, train=["classifier"])
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape))
        return model

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_by_the_name_alone_it_is_the_model_that_was_saved(base, tuned, tmp_path, dtype):
    model = tuned(dtype)
    frod.save_pretrained(model, tmp_path / "adapter")
    again = frod.load_pretrained(str(base), tmp_path / "adapter")
    assert type(again) is type(model) and again.dtype == dtype
    assert torch.equal(logits(again), logits(model))
    assert frod.summary(again) == frod.summary(model)


def test_the_basis_by_its_hash(base, tuned, tmp_path):
    model = tuned()
    frod.save_pretrained(model, tmp_path / "adapter", with_basis=False)
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "README.md",
        "adapter.safetensors",
        "config.json",
    }
    with pytest.raises(ValueError, match="has no basis next to it: give the one it was trained with"):
        frod.load_pretrained(base, tmp_path / "adapter")
    again = frod.load_pretrained(base, tmp_path / "adapter", basis=model._frod.basis, name="second")
    assert again._frod.active == "second"
    assert torch.equal(logits(again), logits(model))


def test_a_model_of_no_library(tmp_path):
    def plain():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Tanh(), torch.nn.Linear(6, 6))

    model, x = plain(), torch.randn(2, 6)
    frod.attach(model, frod.extract_basis(model, "all-linear", progress=False), sparse_rate=0.1, train=[])
    with torch.no_grad():
        model[0].scale.mul_(1.1)
    frod.save_pretrained(model, tmp_path)
    assert torch.equal(frod.load_pretrained(plain(), tmp_path)(x), model(x))
    with pytest.raises(ValueError, match=r"base='some/model' is a name, and .* holds no config\.json"):
        frod.load_pretrained("some/model", tmp_path)


def test_the_card_names_the_model_and_stays_once_it_is_there(base, tuned, tmp_path):
    model = tuned()
    frod.save_pretrained(model, tmp_path / "of a folder")
    assert str(base) not in (tmp_path / "of a folder/README.md").read_text()
    model.config._name_or_path = "owner/name"
    for text in (None, "mine"):
        frod.save_pretrained(model, tmp_path / "adapter")
        card = (tmp_path / "adapter/README.md").read_text()
        if text is None:
            import yaml

            _, front, body = card.split("---\n")
            assert yaml.safe_load(front) == {"base_model": "owner/name", "library_name": "frod", "tags": ["frod"]}
            assert frod.summary(model) in body and 'frod.load_pretrained("owner/name", ' in body
        (tmp_path / "adapter/README.md").write_text("mine")
    assert card == "mine"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "frozen weights have the hash [0-9a-f]{64}, those of the basis [0-9a-f]{64}"),
        ({"hidden_size": 16}, r"has \(out, in, dtype\) \(16, 16, 'float32'\) in the model, \(8, 8, 'float32'\) in the"),
        ({"num_hidden_layers": 1}, "target layers are not the basis's: only in the model .*, only in the basis"),
        ({"labels": 2}, r"'head.classifier.\w+' has shape \(3,.* in the file, \(2,.* in the model"),
    ],
)
def test_another_model_is_refused_in_one_line_with_both_sides(tuned, tmp_path, other, message):
    frod.save_pretrained(tuned(), tmp_path / "adapter")
    model = bert(**other)
    before = logits(model)
    with pytest.raises(ValueError, match=message) as error:
        frod.load_pretrained(model, tmp_path / "adapter")
    assert "\n" not in str(error.value)
    assert torch.equal(logits(model), before) and not hasattr(model, "_frod")


def test_another_model_s_basis_is_refused_with_both_hashes(tuned, base, tmp_path):
    frod.save_pretrained(tuned(), tmp_path / "adapter", with_basis=False)
    other = frod.extract_basis(bert(seed=1), progress=False)
    with pytest.raises(ValueError, match=f"of the model [0-9a-f]{{64}}.*; this basis is {other.digest()}"):
        frod.load_pretrained(base, tmp_path / "adapter", basis=other)


def test_what_is_no_adapter_and_no_model_is_named(tuned, tmp_path):
    with pytest.raises(ValueError, match=r"holds no adapter\.safetensors: not one of frod\.save_pretrained"):
        frod.load_pretrained(bert(), tmp_path)
    frod.save_pretrained(tuned(), tmp_path / "adapter")
    with pytest.raises(ValueError, match="cannot be loaded by transformers") as error:
        frod.load_pretrained(tmp_path / "nowhere", tmp_path / "adapter")
    assert "\n" not in str(error.value)
    config = json.loads((tmp_path / "adapter/config.json").read_text())
    (tmp_path / "adapter/config.json").write_text(json.dumps(config | {"architectures": ["Trainer"]}))
    with pytest.raises(ValueError, match="'Trainer' is no model of transformers"):
        frod.load_pretrained("base", tmp_path / "adapter")


def test_the_trainable_parameters_are_printed_in_peft_s_line(tmp_path):
    """peft's own on the same layers, at the same rate."""
    import peft

    def printed(show):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            show()
        return out.getvalue()

    model = bert()
    frod.attach(model, frod.extract_basis(model, ["query", "value"], progress=False), sparse_rate=0.1, train=[])
    theirs = peft.get_peft_model(bert(), peft.FrodConfig(sparse_rate=0.1, target_modules=["query", "value"]))
    assert printed(lambda: frod.print_trainable_parameters(model)) == printed(theirs.print_trainable_parameters)
