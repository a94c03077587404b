"""The numbers counted in an adapter file are those the model trained, for every kind of method; nothing else counts.

The oracle is the live model that the file was saved from: `trained.count` walks its parameters.
"""

import json
from types import SimpleNamespace

import pytest
import torch
from by_hand import write_source

import frod
from frod import backbones
from frod.audit import counts, divergence
from frod.audit.findings import Findings
from frod.backbones.loading import create_timm, library_class
from frod.config import Method
from frod.config.workflow import known_methods
from frod.provenance.artefacts import read_header
from frod.training import methods
from frod.training.methods import trained

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


def adapted(model, method):
    """The model with a method's adapters; more classes than the three by which the names are found."""
    head = backbones.head_modules(model)
    basis = frod.extract_basis(model, progress=False) if method.kind == "frod" else None
    methods.of_kind(method.kind).apply(model, method, targets=None, head=head, basis=basis, seed=7)
    return head


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
    assert counts.count(shapes, known) == trained.count(model, head)
    assert set(shapes) == known.body | known.head | known.saved
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
    assert any(name.endswith("running_mean") for name in shapes)
    assert counts.count(shapes, known) == trained.count(model, head)
    assert set(shapes) == known.body | known.head | known.saved


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

    def saved():
        trained.save(model, tmp_path / "adapter.safetensors", "frod")
        shapes, _ = read_header(tmp_path / "adapter.safetensors")
        assert counts.count(shapes, known) == trained.count(model, head)
        return set(shapes)

    assert saved() == known.body | known.head | known.saved
    with torch.no_grad():
        model.train()(torch.randn(2, 3, 224, 224))
    changed = saved() - known.body - known.head - known.saved
    assert changed <= known.may
    assert {"buffer.head.bn.running_mean", "buffer.stages.0.blocks.0.mlp.ln1.bn.running_var"} <= changed


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
