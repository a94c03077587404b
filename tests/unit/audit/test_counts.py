"""The numbers counted in an adapter file are those the model trained, for every kind of method; nothing else counts.

The oracle is the live model that the file was saved from: `trained.count` walks its parameters.
"""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from by_hand import write_source

import frod
from frod import backbones
from frod.audit import counts, divergence
from frod.audit.findings import Findings
from frod.backbones.loading import create_timm, library_class
from frod.config import Method, Rates, Run, Training
from frod.config.workflow import known_methods
from frod.method.targets import canonical_names, find
from frod.provenance.artefacts import read_header
from frod.training import methods
from frod.training.methods import size, trained

BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 50,
}


def folder_of(folder, config, library="timm", kind="images"):
    (folder / "config.json").write_text(json.dumps(config))
    write_source(folder, library, kind=kind)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("bert"), BERT, "transformers", "text")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A model whose norms keep running means: saved with what is trained, and not trained."""
    config = {"architecture": "resnet10t", "pretrained_cfg": {"classifier": "fc"}}
    return folder_of(tmp_path_factory.mktemp("resnet"), config)


def adapted(model, method, targets=None):
    """The model with a method's adapters; more classes than the three by which the names are found."""
    head = backbones.head_modules(model)
    basis = frod.extract_basis(model, progress=False) if method.kind == "frod" else None
    methods.of_kind(method.kind).apply(model, method, targets=targets, head=head, basis=basis, seed=7)
    return head


def names(known):
    return known.body.keys() | known.head | known.saved


def lines_of(shapes, known, folder, classes, kind):
    """What an audit finds of a file's tensors."""
    head, findings = counts.head_by(folder, classes), Findings()
    prefix = "head." if kind == "frod" else ""
    counts._check_tensors("file", shapes, known, {f"{prefix}{name}": head[name] for name in head}, findings)
    return [one.line() for one in findings.found]


@pytest.mark.parametrize("name", [*known_methods(), "vera_unsaved"])
def test_every_kind_of_adapter_is_counted_as_the_model_it_came_from(bert, tmp_path, name):
    unsaved = {"kind": "peft", "config": "VeraConfig", "arguments": {"r": 4, "save_projection": False}}
    method = Method(**known_methods().get(name, unsaved))
    torch.manual_seed(0)
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(bert, num_labels=5)
    model = library_class("text").from_config(config)
    head = adapted(model, method)
    trained.save(model, tmp_path / "adapter.safetensors", method.kind)
    shapes, metadata = read_header(tmp_path / "adapter.safetensors")
    known = counts.trained_by(bert, method, None)
    assert lines_of(shapes, known, bert, 5, method.kind) == []
    assert counts.count(shapes, known) == trained.count(model, head)
    assert set(shapes) == names(known)
    assert known.base == sum(p.numel() for p in library_class("text").from_config(config).base_model.parameters())
    if name == "frod":
        assert json.loads(metadata["frod"])["train"] == list(known.modules)


@pytest.mark.parametrize("kind", ["full_ft", "linear_probe"])
def test_running_means_are_in_the_file_and_not_counted(resnet, tmp_path, kind):
    model = create_timm(resnet, num_classes=4)
    head = adapted(model, Method(kind=kind))
    trained.save(model, tmp_path / "adapter.safetensors", kind)
    shapes, _ = read_header(tmp_path / "adapter.safetensors")
    known = counts.trained_by(resnet, Method(kind=kind), None)
    assert lines_of(shapes, known, resnet, 4, kind) == []
    assert any(name.endswith("running_mean") for name in shapes)
    assert counts.count(shapes, known) == trained.count(model, head)
    assert set(shapes) == names(known)


def test_of_frod_they_are_there_where_training_changed_them(tmp_path):
    config = {"architecture": "levit_128s", "pretrained_cfg": {"classifier": ["head.linear", "head_dist.linear"]}}
    folder_of(tmp_path, config)
    model, method, targets = create_timm(tmp_path, num_classes=4), Method(kind="frod", sparse_rate=0.01), ["ln1.linear"]
    torch.nn.init.zeros_(model.stages[0].blocks[0].mlp.ln1.linear.weight)
    head = backbones.head_modules(model)
    with pytest.warns(UserWarning, match="left out: stages.0.blocks.0.mlp.ln1.linear"):
        basis = frod.extract_basis(model, targets, progress=False)
    methods.of_kind("frod").apply(model, method, targets=targets, head=head, basis=basis, seed=7)
    layers = [name for category in basis.categories.values() for name in category.layers]
    known = counts.trained_by(tmp_path, method, targets, layers)

    lora = Method(kind="peft", config="LoraConfig", match_parameters="frod")
    plain = create_timm(tmp_path, num_classes=4)
    torch.nn.init.zeros_(plain.stages[0].blocks[0].mlp.ln1.linear.weight)
    match = size.match(plain, lora, method, targets)
    sized = counts.trained_by(tmp_path, lora, targets, layers, like=method)
    assert match.target == sum(math.prod(shape) for shape in known.body.values())
    head = adapted(plain, match.adapter, targets)
    assert sized.matched == match.facts(trained.count(plain, head)["adapter"])

    def saved():
        trained.save(model, tmp_path / "adapter.safetensors", "frod")
        shapes, _ = read_header(tmp_path / "adapter.safetensors")
        assert counts.count(shapes, known) == trained.count(model, head)
        return set(shapes)

    assert saved() == names(known)
    with torch.no_grad():
        model.train()(torch.randn(2, 3, 224, 224))
    changed = saved() - names(known)
    assert changed <= known.may
    assert {"buffer.head.bn.running_mean", "buffer.stages.0.blocks.0.mlp.ln1.bn.running_var"} <= changed


@pytest.mark.parametrize("freeze", [[], ["scale"], ["rotation"]])
@pytest.mark.parametrize("kind", ["shared", "layer_svd", "random"])
def test_frods_shapes_are_those_that_its_rate_gives(bert, tmp_path, kind, freeze):
    """A file of another rate is named, whatever its metadata say."""
    from transformers import AutoConfig

    model = library_class("text").from_config(AutoConfig.from_pretrained(bert, num_labels=5))
    method = Method(kind="frod", sparse_rate=0.05, freeze=freeze)
    basis = frod.extract_basis(model, kind=kind, progress=False)
    methods.of_kind("frod").apply(model, method, targets=None, head=["classifier"], basis=basis, seed=7)
    trained.save(model, tmp_path / "adapter.safetensors", "frod")
    shapes, _ = read_header(tmp_path / "adapter.safetensors")
    assert lines_of(shapes, counts.trained_by(bert, method, None), bert, 5, "frod") == []
    smaller = method.model_copy(update={"sparse_rate": 0.01})
    told = lines_of(shapes, counts.trained_by(bert, smaller, None), bert, 5, "frod")
    assert [line.partition("rotation")[0] for line in told] == (
        [] if "rotation" in freeze else ["file: shape of tensor adapter.layer.0.attention.output.dense."]
    )


def test_a_tensor_of_another_shape_is_named(bert):
    """Also where record and metadata were altered with it; and a head of other outputs than the task has classes."""
    lora = Method(**known_methods()["lora"])
    known = counts.trained_by(bert, lora, None)
    head = counts.head_by(bert, 5)
    shapes = known.body | head
    assert lines_of(shapes, known, bert, 5, "peft") == []
    (told,) = lines_of(shapes | dict.fromkeys(known.body, (1,)), known, bert, 5, "peft")
    assert told.startswith(f"file: shape of tensor {min(known.body)} and {len(known.body) - 1} more, by the model")
    (told,) = lines_of(shapes, known, bert, 6, "peft")
    assert "shape of tensor classifier.bias and 1 more, by the model: expected (6,), found (5,)" in told


def test_places_of_s_that_somebody_gave_are_named(bert):
    """The workflow draws them by a seed and saves none."""
    known = counts.trained_by(bert, Method(kind="frod", sparse_rate=0.01), None)
    head = {f"head.{name}": shape for name, shape in counts.head_by(bert, 5).items()}
    (told,) = lines_of(known.body | head | {"pattern.a": (2, 10)}, known, bert, 5, "frod")
    assert told == "file: tensor pattern.a: expected nothing, found there; run it again"


def test_a_size_that_was_matched_is_matched_again(bert, tmp_path):
    """LoRA of a smaller rank than FRoD's size gives is no LoRA of that size, whatever its record says."""
    from transformers import AutoConfig

    frod_method = Method(kind="frod", sparse_rate=0.05)
    lora = Method(kind="peft", config="LoraConfig", match_parameters="frod")
    run = Run(
        suite="s", task="t", backbone="b", method="lora", seed=0, protocol="audited", adapter=lora, matched=frod_method,
        rates=Rates(lr=0.1, lr_head=0.1), targets=None, training=Training(), split_seed=0,
    )  # fmt: skip
    config = AutoConfig.from_pretrained(bert, num_labels=5)
    layers = canonical_names(n for c in find(library_class("text").from_config(config)).values() for n in c).values()
    study = SimpleNamespace(folder=lambda key: tmp_path, runs={"run": run}, trained={}, model=lambda backbone: bert)
    study.manifest = lambda task, backbone: {"problem": "classification", "num_classes": 5}
    study.basis_manifest = lambda run: {"categories": {"all": {"layers": list(layers)}}}

    def lines(rank=None, **told):
        model = library_class("text").from_config(config)
        match = size.match(model, lora, frod_method, None)
        sized = match.adapter if rank is None else lora.model_copy(update={"arguments": {"r": rank}})
        numbers = trained.count(model, adapted(model, sized))
        trained.save(model, tmp_path / "adapter.safetensors", "peft")
        parameters = {"trainable": numbers, "base": counts.trained_of(study, run).base}
        parameters["matched"] = match.facts(numbers["adapter"]) | told
        study.records, findings = {"run": {"parameters": parameters}}, Findings()
        counts.check_counts(study, "run", findings)
        return [one.line().removeprefix(f"{tmp_path}/") for one in findings.found]

    assert counts.trained_of(study, run).matched["value"] > 1
    assert lines() == []
    shape, record = lines(rank=1, value=1)
    assert shape.startswith("adapter.safetensors: shape of tensor bert.encoder.")
    assert record.startswith("record.json: parameters.matched, by the model.value: expected")
    (record,) = lines(to="nobody")
    assert record.startswith("record.json: parameters.matched, by the model.to: expected frod, found nobody")


def test_a_tensor_that_is_cut_or_added_changes_the_count(bert, tmp_path):
    known = counts.trained_by(bert, Method(kind="linear_probe"), None)
    assert counts.count({"classifier.weight": (5, 32), "classifier.bias": (5,)}, known)["head"] == 165
    assert counts.count({"classifier.weight": (5, 31), "classifier.bias": (5,)}, known)["head"] == 160
    assert counts.count({"classifier.bias": (5,), "other": (9,)}, known)["total"] == 5


@pytest.mark.parametrize("check", [counts.check_counts, divergence.check_adapter])
def test_an_adapter_that_was_cut_short_is_named_with_the_remedy(tmp_path, monkeypatch, check):
    path = tmp_path / "adapter.safetensors"
    trained.save(torch.nn.Linear(3, 2), path, "full_ft")
    path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setattr(divergence, "trained_of", lambda study, key: frozenset())
    study = SimpleNamespace(folder=lambda key: tmp_path, runs={"run": None}, records={"run": {}})
    study.undefined = lambda key: "diverged"
    findings = Findings()
    check(study, "run", findings)
    line = findings.found[-1].line()
    assert line.startswith(f"{path}: ") and "Error" not in line.partition("(")[0]
    assert f"cannot be checked: {path}: cannot be read, it was changed or cut short (" in line
    assert line.endswith("; run it again")
