"""Saved by transformers' own means, an adapted model is the fine-tuned one to `from_pretrained`, and itself again, bit
for bit, to a model with the same adapter: the Trainer goes on from its checkpoints, and ends with its best one. Merged,
it needs this package no longer; generation forms each weight once."""

import copy
import io
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy import adapt, disturb, outputs

import frod
from frod.method.state import frod_layers

IDS = torch.arange(1, 9).view(2, 4)
PIXELS = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
HEADS = {"bert": "classifier", "gpt2": "score", "llama": "score", "wrapped timm": "timm_model.head"}


@pytest.fixture
def make(build):
    """A plain model of transformers, always with the same weights."""

    def plain(name="bert", dtype=torch.float32):
        torch.manual_seed(0)
        if name != "wrapped timm":
            return build(name, "cpu").to(dtype).eval()
        from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

        sizes = {"depth": 2, "img_size": 8, "patch_size": 4, "embed_dim": 12}
        config = TimmWrapperConfig(architecture="vit_tiny_patch16_224", model_args=sizes, num_labels=2)
        return TimmWrapperForImageClassification(config).to(dtype).eval()

    return plain


def attach(model, kind="bert", **arguments):
    targets = ["qkv.q", "qkv.v", "attn.proj"] if kind == "wrapped timm" else None
    return adapt(model, targets, **{"train": [HEADS[kind]]} | arguments)


def logits(model):
    vision = "pixel_values" in model.forward.__code__.co_varnames
    return outputs(model, PIXELS.to(model.dtype) if vision else IDS).logits


def tuned(make, name="bert", dtype=torch.float32, **arguments):
    """A model with an adapter that is no longer at its start."""
    return disturb(attach(make(name, dtype), name, **arguments))


def reloaded(model, folder, **options):
    """The outputs of what transformers makes of the folder."""
    model.save_pretrained(folder)
    return logits(type(model).from_pretrained(folder, **options))


def stored(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    """Whether two models hold the same numbers, frozen ones included."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", list(HEADS))
def test_from_pretrained_gives_the_fine_tuned_model(make, tmp_path, name, dtype):
    model = tuned(make, name, dtype)
    expected = logits(model)
    assert not torch.equal(expected, logits(make(name, dtype)))
    model.save_pretrained(tmp_path)
    loaded, found = type(model).from_pretrained(tmp_path, output_loading_info=True, dtype=dtype)
    assert not found["missing_keys"] and not found["mismatched_keys"]
    assert all(".adapters." in key or key.endswith("frod.settings") for key in found["unexpected_keys"])
    assert torch.equal(logits(loaded), expected)
    assert torch.equal(logits(model), expected)  # saving leaves it as it was


@pytest.mark.parametrize("name", list(HEADS))
def test_the_folder_is_no_larger_than_model_and_adapter(make, tmp_path, name):
    model = tuned(make, name)
    model.save_pretrained(tmp_path / "adapted")
    frod.save_adapter(model, tmp_path / "adapter.safetensors")
    frod.merge(model).save_pretrained(tmp_path / "merged")
    adapted, merged = (stored(tmp_path / kind) for kind in ("adapted", "merged"))
    assert merged.keys() <= adapted.keys()
    assert all(torch.equal(adapted[key], tensor) for key, tensor in merged.items())
    numbers = {k: t for k, t in load_file(tmp_path / "adapter.safetensors").items() if k.startswith("adapter.")}
    rest = {key: tensor for key, tensor in adapted.items() if key not in merged and key != "frod.settings"}
    assert sum(t.numel() for t in rest.values()) == sum(t.numel() for t in numbers.values())
    assert adapted["frod.settings"].numel() < 1000


@pytest.mark.parametrize("size", ["50GB", "3KB"])
@pytest.mark.parametrize("name", list(HEADS))
def test_the_adapted_model_takes_back_its_exact_state(make, tmp_path, name, size):
    """From one file, and from several, in which a weight may lie apart from its adapter."""
    from transformers.trainer_utils import load_sharded_checkpoint

    model = tuned(make, name)
    model.save_pretrained(tmp_path, max_shard_size=size)
    again = attach(make(name), name)
    before = [layer.base.weight.clone() for _, layer in frod_layers(again)]
    if size == "3KB":
        assert len(list(tmp_path.glob("*.safetensors"))) > 2
        load_sharded_checkpoint(again, tmp_path, strict=False)
    else:
        again.load_state_dict(stored(tmp_path))
    assert all(torch.equal(layer.base.weight, weight) for (_, layer), weight in zip(frod_layers(again), before))
    assert same(again, model)
    assert torch.equal(logits(again), logits(model))


def trainer(model, folder, **arguments):
    """The real Trainer over random tokens and labels."""
    from transformers import Trainer, TrainingArguments

    tokens = torch.randint(0, 10, (24, 5), generator=torch.Generator().manual_seed(2))
    data = [{"input_ids": row, "labels": torch.tensor(i % 2)} for i, row in enumerate(tokens)]
    options = {"max_steps": 6, "save_steps": 2, "eval_steps": 2, "per_device_train_batch_size": 4, "use_cpu": True}
    options |= {"report_to": [], "disable_tqdm": True, "logging_strategy": "no", "learning_rate": 5e-2}
    return Trainer(
        model, TrainingArguments(output_dir=str(folder), **options | arguments), train_dataset=data, eval_dataset=data
    )


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_trainer_goes_on_from_its_checkpoint_to_the_same_weights(make, tmp_path, name):
    whole = attach(make(name), name)
    trainer(whole, tmp_path / "whole").train()
    trainer(attach(make(name), name), tmp_path / "cut").train()
    resumed = attach(make(name), name)
    trainer(resumed, tmp_path / "cut").train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-2"))
    assert same(resumed, whole)
    assert not torch.equal(logits(whole), logits(attach(make(name), name)))


def test_a_trainer_ends_with_its_best_checkpoint_and_saves_the_fine_tuned_model(make, tmp_path):
    model = attach(make())
    # At such a rate the loss soon grows, so that the best is not the last.
    run = trainer(model, tmp_path, learning_rate=2.0, eval_strategy="steps", load_best_model_at_end=True)
    run.train()
    best = run.state.best_model_checkpoint
    assert not best.endswith("checkpoint-6")
    expected = attach(make())
    expected.load_state_dict(stored(Path(best)))
    assert same(model, expected)
    assert run.evaluate()["eval_loss"] == pytest.approx(run.state.best_metric, abs=0)
    run.save_model(str(tmp_path / "saved"))
    assert torch.equal(logits(type(model).from_pretrained(tmp_path / "saved")), logits(model))


@pytest.mark.parametrize("how", ["torch.save", "save_pretrained"])
def test_several_adapters_and_their_heads_come_back_on_fresh_ones_of_the_same_names(make, tmp_path, how):
    def two():
        model = disturb(attach(make(), name="first"))
        first, places = logits(model), {"seed": 5, "sparse_rate": 0.2, "layers": [1], "train": ["classifier"]}
        return frod.attach(model, model._frod.basis, **places, name="second"), first

    model, first = two()
    expected = logits(disturb(model, seed=2))
    again, _ = two()
    disturb(frod.set_adapter(again, "first"), seed=4)
    frod.set_adapter(again, "second")
    if how == "torch.save":
        torch.save(model.state_dict(), tmp_path / "state")
        again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    else:
        assert torch.equal(reloaded(model, tmp_path), expected)
        again.load_state_dict(stored(tmp_path))
    assert same(again, model)
    assert torch.equal(logits(again), expected)
    assert torch.equal(logits(frod.set_adapter(again, "first")), first)
    with pytest.raises(ValueError, match=r"used the adapter 'second', this one uses 'first'; set_adapter\(model, 'sec"):
        again.load_state_dict(model.state_dict())


def test_layers_that_are_switched_off_are_saved_as_they_compute(make, tmp_path):
    model = tuned(make)
    for _, layer in frod_layers(model):
        layer.use(None)
    assert torch.equal(reloaded(model, tmp_path), logits(model))


def test_saving_keeps_no_further_tensors(make, tmp_path):
    """U of a layer that never needed it would take as much room as the weight."""
    model = tuned(make, plan="input_side")
    found = reloaded(model, tmp_path)
    assert all(layer.Ut is None and layer._formed is None for _, layer in frod_layers(model))
    torch.testing.assert_close(found, logits(model))


def test_with_the_tensors_themselves_a_state_is_what_it_was(make):
    """As the workflow's checkpoints ask for it."""
    model = tuned(make)
    state, parameters = model.state_dict(keep_vars=True), dict(model.named_parameters())
    assert state.keys() == parameters.keys() | dict(make().named_buffers(remove_duplicate=False)).keys() & state.keys()
    assert all(state[name] is parameter for name, parameter in parameters.items())


def test_a_part_of_a_larger_model(make, tmp_path):
    """Attached to the encoder alone: saved with the whole, and by itself."""
    model = make()
    frod.attach(model.bert, frod.extract_basis(model.bert, progress=False), sparse_rate=0.1)
    disturb(model)
    assert torch.equal(reloaded(model, tmp_path / "whole"), logits(model))
    model.bert.save_pretrained(tmp_path / "part")
    part = type(model.bert).from_pretrained(tmp_path / "part")
    assert torch.equal(outputs(part, IDS).last_hidden_state, outputs(model.bert, IDS).last_hidden_state)


@pytest.mark.parametrize("where", ["around", "within"])
def test_a_module_may_have_the_name_of_our_entries(make, where):
    def two(seed):
        model = make()
        if where == "within":
            model.frod = nn.ModuleDict({"heads": nn.Linear(2, 2), "settings": nn.Linear(2, 2)})
        attach(model, name="first")
        frod.attach(disturb(model, seed=seed), model._frod.basis, train=["classifier"], name="second")
        disturb(model, seed=seed + 1)
        return model if where == "within" else nn.ModuleDict({"frod": model})

    model, again = two(1), two(3)
    assert not same(again, model)
    found = again.load_state_dict(model.state_dict(), strict=False)
    assert not found.missing_keys and not found.unexpected_keys
    assert same(again, model)


def test_through_the_wrapper_of_a_compiled_model(make, tmp_path):
    """Its state has names of its own."""
    model = tuned(make)
    compiled, again = torch.compile(model, backend="eager"), attach(make())
    torch.compile(again, backend="eager").load_state_dict(compiled.state_dict())
    assert same(again, model)
    compiled.save_pretrained(tmp_path)
    assert torch.equal(logits(type(model).from_pretrained(tmp_path)), logits(model))


def test_copies_are_saved_as_they_are(make, tmp_path):
    model = tuned(make)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for i, other in enumerate((copy.deepcopy(model), torch.load(file, weights_only=False))):
        disturb(other, seed=8)
        assert torch.equal(reloaded(other, tmp_path / str(i)), logits(other))
        assert not torch.equal(logits(other), logits(model))
        frod.merge(other)
        assert not other._state_dict_hooks and not other._load_state_dict_pre_hooks
        assert "save_pretrained" not in vars(other)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            other.load_state_dict(make().state_dict())
    assert model._state_dict_hooks and model._load_state_dict_pre_hooks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 1}, "adapter 'default' with seed=0, that of this model has seed=1"),
        ({"train": []}, r"train=\['classifier'\], that of this model has train=\[\]"),
        ({"name": "other"}, r"with the adapters \['default'\], this one has \['other'\]"),
    ],
)
def test_a_state_of_another_adapter_is_refused(make, tmp_path, arguments, message):
    tuned(make).save_pretrained(tmp_path)
    other = disturb(attach(make(), **arguments))
    before = copy.deepcopy(other)
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(stored(tmp_path), strict=False)
    assert same(other, before)


def test_a_state_over_other_weights_is_refused(make, tmp_path):
    """With and without an adapter in it, and by load_state_dict's own metadata or the file's."""
    model = tuned(make)
    before = copy.deepcopy(model)
    other = make()
    with torch.no_grad():
        other.bert.encoder.layer[0].output.dense.weight.add_(1e-3)
    message = r"another weight 'bert\.encoder\.layer\.0\.output\.dense' than the frozen one below the adapter"
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(other.state_dict(), strict=False)
    attach(other)
    with pytest.raises(ValueError, match="with basis_digest="):
        model.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(dict(other.state_dict()))  # which leaves the metadata behind
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="with basis_digest="):
        model.load_state_dict(stored(tmp_path), strict=False)
    assert same(model, before)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*adapters\.default\.scale"):
        model.load_state_dict(make().state_dict())


def test_a_weight_that_follows_from_others_is_refused(make, tmp_path):
    model = tuned(make)
    nn.utils.parametrizations.orthogonal(model.bert.encoder.layer[0].attention.self.query.base)
    with pytest.raises(ValueError, match=r"'bert\.encoder\.layer\.0\.attention\.self\.query' is quantised, or its wei"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


WITHOUT = """
import sys
import torch
from transformers import AutoModelForSequenceClassification
for folder in map(str.strip, sys.stdin):
    model = AutoModelForSequenceClassification.from_pretrained(f"{folder}/merged").eval()
    with torch.no_grad():
        torch.save(model(torch.arange(1, 9).view(2, 4)).logits, f"{folder}/logits")
    assert not [name for name in sys.modules if name.split(".")[0] == "frod"]
    print("saved", flush=True)
"""


@pytest.fixture(scope="module")
def load_without():
    """Loads what was saved in a folder in a process without this package, one for all; the logits that it saves."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WITHOUT], **pipes) as process:

        def load(folder):
            print(folder, file=process.stdin, flush=True)
            assert process.stdout.readline() == "saved\n"
            return torch.load(folder / "logits")

        yield load


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_a_merged_model_is_saved_and_loaded_without_this_package(make, load_without, tmp_path, name):
    model = tuned(make, name)
    expected = logits(model)
    frod.merge(model).save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(load_without(tmp_path), expected)


def test_generation_forms_each_weight_once_and_again_after_a_change(build, calls):
    torch.manual_seed(0)
    model = disturb(adapt(build("causal", "cpu"))).eval()
    prompt = torch.tensor([[1, 5, 7]])

    def generate():
        return model.generate(prompt, max_new_tokens=8, min_new_tokens=8, do_sample=False)

    first = generate()
    assert torch.equal(generate(), first)
    layers = [layer for _, layer in frod_layers(model)]
    assert calls["form_weight"] == len(layers)
    with torch.no_grad():
        layers[0].scale.mul_(1.5)
    generate()
    assert calls["form_weight"] == len(layers) + 1
