"""Adapters to and from peft: the logits of the other implementation are what is expected, always.

Models: all-MiniLM-L6-v2 with a classification head, a micro Llama, a micro GPT-2.
"""

import copy
import functools
import json
import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import frod
from frod.method.state import frod_layers
from frod.peft.layers import category_of_name, index_of_name
from frod.peft.shared_basis import entries

peft = pytest.importorskip("peft")
peft_model = pytest.importorskip("peft.tuners.frod.model")
transformers = pytest.importorskip("transformers")

CLOSE = 1e-4  # relative, of the logits in float32
BERT = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"]
WIDER = "ignore:category .* the basis that peft computes:UserWarning"


def llama(blocks=3):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 80, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = transformers.LlamaConfig(vocab_size=100, num_hidden_layers=blocks, num_labels=3, pad_token_id=0, **sizes)
    return transformers.LlamaForSequenceClassification(config).eval()


def gpt2():
    torch.manual_seed(0)
    sizes = {"vocab_size": 100, "n_positions": 16, "n_embd": 24, "n_layer": 3, "n_head": 4}
    config = transformers.GPT2Config(num_labels=3, pad_token_id=0, **sizes)
    return transformers.GPT2ForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def micro():
    return llama()


@pytest.fixture(scope="module")
def model_of(micro, minilm_folder):
    """A model by name, built once."""

    @functools.cache
    def make(name):
        if "minilm" not in name:
            return gpt2() if name == "gpt2" else micro
        torch.manual_seed(0)  # of the head
        blocks = int(name.rpartition("-")[2])
        return transformers.BertForSequenceClassification.from_pretrained(
            minilm_folder, num_hidden_layers=blocks
        ).eval()

    return make


def tokens(model):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, model.config.vocab_size, (4, 12), generator=generator)


@torch.no_grad()
def logits(model):
    return model.eval()(tokens(model)).logits


def distance(y, expected):
    return ((y - expected).norm() / expected.norm()).item()


def train(model):
    """A few steps: enough for lambda, S and the head to be clearly other than at the start."""
    trained = [p for p in model.parameters() if p.requires_grad and p.numel()]
    optimizer = torch.optim.Adam(trained, lr=0.02)
    labels = torch.arange(4) % model.config.num_labels
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tokens(model)).logits, labels).backward()
        optimizer.step()
    return model.eval()


def ours(model, targets, head, rate, **options):
    basis = options.pop("basis", None) or frod.extract_basis(model, targets, progress=False)
    return train(frod.attach(copy.deepcopy(model), basis, sparse_rate=rate, train=[head], **options))


def theirs(model, targets, head, rate, **options):
    config = peft.FrodConfig(
        target_modules=targets, modules_to_save=[head], sparse_rate=rate, progressbar=False, **options
    )
    return train(peft.get_peft_model(copy.deepcopy(model), config))


def load_theirs(model, directory):
    return peft.PeftModel.from_pretrained(copy.deepcopy(model), directory).eval()


@pytest.fixture(scope="module")
def checkpoint(micro, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs(micro, LLAMA, "score", 0.05).save_pretrained(folder)
    return folder


# "output.dense" is wide here (3 x 384 rows for 1536 columns) and takes nearly all of the time: once each way.
CASES = [
    *[("llama", LLAMA, "score", rate) for rate in (0, 0.01, 0.1)],
    ("minilm-3", BERT[:-1], "classifier", 0),
    ("minilm-3", ["query", "output.dense"], "classifier", 0.01),
    ("minilm-3", BERT[:-1], "classifier", 0.1),
    ("gpt2", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"], "score", 0.05),  # weights the other way round
]


@pytest.mark.filterwarnings(WIDER)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set")
@pytest.mark.parametrize(("name", "targets", "head", "rate"), [*CASES, ("minilm-6", BERT[:-1], "classifier", 0.01)])
def test_from_here_to_peft_and_back(model_of, name, targets, head, rate, tmp_path):
    model = model_of(name)
    adapted = ours(model, targets, head, rate)
    expected = logits(adapted)
    assert distance(logits(model), expected) > 0.05  # the adapter does something
    frod.to_peft(adapted, tmp_path)
    assert distance(logits(load_theirs(model, tmp_path)), expected) < CLOSE
    assert distance(logits(frod.from_peft(copy.deepcopy(model), tmp_path)), expected) < CLOSE


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set")
@pytest.mark.parametrize(("name", "targets", "head", "rate"), CASES)
def test_from_peft_to_here_and_back(model_of, name, targets, head, rate, tmp_path):
    model = model_of(name)
    peft_trained = theirs(model, targets, head, rate)
    expected = logits(peft_trained)
    assert distance(logits(model), expected) > 0.05
    peft_trained.save_pretrained(tmp_path / "theirs")
    adapted = frod.from_peft(copy.deepcopy(model), tmp_path / "theirs")
    assert distance(logits(adapted), expected) < CLOSE
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="category")  # no entry of S is added on peft's own basis
        frod.to_peft(adapted, tmp_path / "back")
    assert distance(logits(load_theirs(model, tmp_path / "back")), expected) < CLOSE


def test_a_basis_of_peft_s_keeps_the_sparse_rate(micro, checkpoint, tmp_path):
    basis = frod.basis_from_peft(micro, checkpoint)
    adapted = ours(micro, LLAMA, "score", 0.05, basis=basis)
    frod.to_peft(adapted, tmp_path / "mine", max_sparse_rate=0.05)
    assert distance(logits(load_theirs(micro, tmp_path / "mine")), logits(adapted)) < CLOSE
    with pytest.raises(ValueError, match=r"a sparse rate of 0\.\d+ is needed, max_sparse_rate=0.05.*basis_from_peft"):
        frod.to_peft(ours(micro, LLAMA, "score", 0.05), tmp_path / "other", max_sparse_rate=0.05)
    assert not (tmp_path / "other").exists()


@pytest.mark.filterwarnings(WIDER)
def test_a_category_of_one_layer_is_exact_with_a_full_S(tmp_path):
    # One layer does not determine V: peft's and ours have nothing in common.
    model = llama(blocks=1)
    adapted = ours(model, LLAMA, "score", 0.01)
    frod.to_peft(adapted, tmp_path)
    assert distance(logits(load_theirs(model, tmp_path)), logits(adapted)) < CLOSE
    with pytest.raises(ValueError, match=r"category .* would leave out .* merge and exchange the whole model"):
        frod.to_peft(adapted, tmp_path, max_sparse_rate=0.5)


class Wide(nn.Module):
    """Three layers of 5 rows for 24 columns: nine columns of V are of no layer, but S leads into them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({"fc": nn.Linear(24, 5, bias=False)}) for _ in range(3))

    def forward(self, x):
        return torch.cat([layer["fc"](x) for layer in self.layers], dim=-1)


@pytest.mark.filterwarnings(WIDER)
def test_columns_that_no_layer_uses(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model, routine = Wide(), peft_model._projection_from_weights
    turn = torch.linalg.qr(torch.randn(9, 9)).Q

    def with_other_null_columns(weights, ridge):
        V = routine(weights, ridge)
        return torch.cat([V[:, :15], V[:, 15:] @ turn], dim=1)  # as another library might complete V

    monkeypatch.setattr(peft_model, "_projection_from_weights", with_other_null_columns)
    adapted = frod.attach(copy.deepcopy(model), frod.extract_basis(model, ["fc"], progress=False), sparse_rate=0.3)
    with torch.no_grad():
        for _, layer in frod_layers(adapted):
            assert (layer.lambda_0 == 0).sum() == 9
            layer.scale.add_(0.1)
            layer.rotation.normal_()
    frod.to_peft(adapted, tmp_path, max_sparse_rate=0.4)  # S into peft's null columns would take more
    x = torch.randn(40, 24)
    with torch.no_grad():
        y, expected = load_theirs(model, tmp_path)(x), adapted(x)
    assert distance(expected, model(x)) > 1
    assert distance(y, expected) < CLOSE
    assert distance(frod.from_peft(copy.deepcopy(model), tmp_path)(x), expected) < CLOSE


def test_save_and_load_after_taking_over(micro, checkpoint, tmp_path):
    adapted = train(frod.from_peft(copy.deepcopy(micro), checkpoint))  # it trains on here
    frod.save_adapter(adapted, tmp_path / "adapter.safetensors")
    basis = frod.basis_from_peft(micro, checkpoint)
    basis.save(tmp_path / "basis")
    for kept in (basis, frod.Basis.load(tmp_path / "basis")):
        again = frod.load_adapter(copy.deepcopy(micro), tmp_path / "adapter.safetensors", kept)
        assert torch.equal(logits(again), logits(adapted))


def test_two_adapters_of_peft_s_on_one_model(micro, tmp_path):
    first, second = theirs(micro, LLAMA, "score", 0.05), theirs(micro, LLAMA, "score", 0.1)
    first.save_pretrained(tmp_path / "1")
    second.save_pretrained(tmp_path / "2")
    model = frod.from_peft(frod.from_peft(copy.deepcopy(micro), tmp_path / "1", name="1"), tmp_path / "2", name="2")
    assert distance(logits(model), logits(second)) < CLOSE
    assert distance(logits(frod.set_adapter(model, "1")), logits(first)) < CLOSE


@pytest.mark.filterwarnings(WIDER)
def test_some_blocks_only(micro, tmp_path):
    adapted = ours(micro, LLAMA, "score", 0.05, layers=[1])
    frod.to_peft(adapted, tmp_path / "a")
    assert distance(logits(load_theirs(micro, tmp_path / "a")), logits(adapted)) < CLOSE
    some = theirs(micro, LLAMA, "score", 0.05, layers_to_transform=[0, 2])
    some.save_pretrained(tmp_path / "b")
    assert distance(logits(frod.from_peft(copy.deepcopy(micro), tmp_path / "b")), logits(some)) < CLOSE


@pytest.mark.filterwarnings(WIDER)
def test_targets_by_expression_and_another_ridge(micro, tmp_path):
    some = theirs(micro, r".*\.(q_proj|up_proj)", "score", 0.05, regularization_alpha=0.1)
    some.save_pretrained(tmp_path / "a")
    assert distance(logits(frod.from_peft(copy.deepcopy(micro), tmp_path / "a")), logits(some)) < CLOSE
    basis = frod.extract_basis(micro, ["q_proj", "up_proj"], ridge=0.1, progress=False)
    adapted = ours(micro, None, "score", 0.0, basis=basis)
    frod.to_peft(adapted, tmp_path / "b", max_sparse_rate=0.1)  # with peft's usual ridge V would be another
    assert distance(logits(load_theirs(micro, tmp_path / "b")), logits(adapted)) < CLOSE


@pytest.mark.filterwarnings(WIDER)
def test_an_adapter_beside_half_precision_goes_to_the_model_in_float32(micro, tmp_path):
    half = copy.deepcopy(micro).bfloat16()
    adapted = frod.attach(half, frod.extract_basis(half, LLAMA, progress=False), sparse_rate=0.02)
    with torch.no_grad():
        for _, layer in frod_layers(adapted):
            layer.scale.add_(0.05)
            layer.rotation.normal_(std=0.02)
    frod.to_peft(adapted, tmp_path)
    single = load_theirs(copy.deepcopy(micro).bfloat16().float(), tmp_path)
    for name, layer in frod_layers(adapted):
        other = single.base_model.model.get_submodule(f"model.{name}")
        expected = layer.weight + (layer.form_weight() - layer.weight)
        got = other.base_layer.weight + other.get_delta_weight("default")
        assert distance(got, expected.float()) < 5e-3  # W' in bfloat16 is no finer


def test_names_are_grouped_as_peft_groups_them():
    names = [
        "encoder.layer.11.attention.self.query",
        "bert.encoder.layer.3.attention.output.dense",
        "bert.encoder.layer.3.output.dense",
        "model.layers.3.self_attn.q_proj",
        "blocks.2.attn.qkv",
        "h.4.mlp.c_fc",
        "layers.7",
        "stack.5.fc",
        "classifier",
        "classifier.dense",
        "stage.1.layers.6.mlp.fc1",
    ]
    for at, name in enumerate(names):
        assert category_of_name(name) == peft_model._category_from_key(name)
        assert index_of_name(name, at) == peft_model._layer_index_from_key(name, at)


@pytest.mark.parametrize("rate", [0, 1e-9, 0.01, 0.29, 1])
def test_as_many_entries_as_peft_makes(rate):
    for n in (6, 7, 10, 100):
        layer = nn.ModuleDict({"a": nn.ModuleDict({"fc": nn.Linear(n, n)})})
        made = peft.get_peft_model(layer, peft.FrodConfig(target_modules=["fc"], sparse_rate=rate, progressbar=False))
        assert entries(n, rate) == made.base_model.frod_s_indices["a_fc"]["default"].shape[1]


def test_peft_itself_does_not_survive_other_signs_of_V(micro, tmp_path, monkeypatch):
    # Why `to_peft` warns: U is made on loading, V is read. Other threads or libraries turn signs of V's columns.
    fresh = theirs(micro, LLAMA, "score", 0)
    fresh.save_pretrained(tmp_path)
    routine = peft_model._projection_from_weights

    def turned(weights, ridge):
        V = routine(weights, ridge)
        return V * torch.where(torch.arange(V.shape[1]) % 2 == 0, 1.0, -1.0)

    monkeypatch.setattr(peft_model, "_projection_from_weights", turned)
    assert distance(logits(load_theirs(micro, tmp_path)), logits(fresh)) > 0.1
    assert distance(logits(frod.from_peft(copy.deepcopy(micro), tmp_path)), logits(fresh)) < CLOSE


def test_reading_needs_no_peft_and_writing_says_so(micro, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    adapted = frod.from_peft(copy.deepcopy(micro), checkpoint)
    with pytest.raises(ImportError, match="to_peft needs peft"):
        frod.to_peft(adapted, tmp_path / "other")


def changed(checkpoint, tmp_path, change=lambda tensors: tensors, **settings):
    config = json.loads((checkpoint / "adapter_config.json").read_text()) | settings
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    tensors = change(load_file(checkpoint / "adapter_model.safetensors"))
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    return tmp_path


def without(part):
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if part not in key}


@pytest.mark.parametrize(
    "settings, change, message",
    [
        ({"save_projection": False}, without("none"), "save_projection is False, not True.*merge_and_unload"),
        ({"bias": "all"}, without("none"), "bias is 'all', not 'none'"),
        ({"peft_type": "LORA"}, without("none"), "peft_type is 'LORA'"),
        ({}, without("frod_V.self_attn_q_proj"), "left over or incomplete"),
        ({}, without("score"), r"only in the model \['score.weight'\]"),
        ({"modules_to_save": None}, without("none"), r"only in the file \['score.weight'\]"),
        ({}, lambda t: {k: v[:-1].clone() if "lambda_s" in k else v for k, v in t.items()}, "of other sizes"),
        ({}, lambda t: {k: v[:1].clone() if "score" in k else v for k, v in t.items()}, r"\(1, 32\) in the file"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(micro, checkpoint, tmp_path, settings, change, message):
    model = copy.deepcopy(micro)
    with pytest.raises(ValueError, match=message):
        frod.from_peft(model, changed(checkpoint, tmp_path, change, **settings))
    assert torch.equal(logits(model), logits(micro))
    assert not any("base" in name for name, _ in model.named_modules())  # nothing was attached


def test_a_checkpoint_of_other_weights_or_another_model_is_refused(micro, checkpoint, tmp_path):
    other = copy.deepcopy(micro)
    with torch.no_grad():
        other.model.layers[1].self_attn.q_proj.weight.mul_(1.01)
    with pytest.raises(ValueError, match="V of category 'self_attn_q_proj' is not that of this model's weights"):
        frod.from_peft(other, checkpoint)
    with pytest.raises(ValueError, match="which LlamaModel does not have"):
        frod.from_peft(copy.deepcopy(micro.model), checkpoint)
    with pytest.raises(ValueError, match=r"holds no adapter_config\.json"):
        frod.from_peft(copy.deepcopy(micro), tmp_path)


class Towers(nn.Module):
    """Two stacks whose layers peft takes for each other's."""

    def __init__(self):
        super().__init__()
        for side in ("left", "right"):
            self.add_module(side, nn.ModuleList(nn.ModuleDict({"fc": nn.Linear(8, 8)}) for _ in range(3)))


def test_layers_that_peft_confuses_are_refused(tmp_path):
    model = Towers()
    frod.attach(model, frod.extract_basis(model, ["fc"], progress=False))
    with pytest.raises(ValueError, match=r"peft takes 'left.0.fc' and 'right.0.fc' for the same layer"):
        frod.to_peft(model, tmp_path)


def test_parts_of_a_fused_layer_are_refused(tmp_path):
    model = nn.ModuleList(nn.ModuleDict({"qkv": nn.Linear(6, 18)}) for _ in range(3))
    frod.attach(model, frod.extract_basis(model, ["qkv"], progress=False))
    with pytest.raises(ValueError, match="part of a fused layer"):
        frod.to_peft(model, tmp_path)
