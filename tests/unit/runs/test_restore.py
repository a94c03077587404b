"""A run's model comes back from its files exactly, or not at all: a spectrum of another model would be no evidence."""

import pytest
import small_runs
import torch
from safetensors.torch import load_file, save_file

from frod.runs import restore
from frod.training.methods import trained


def start(name, backbone, basis, seed=3, **changes):
    adapter = small_runs.METHODS[name].model_copy(update=changes)
    return restore.start(small_runs.run(adapter, seed), backbone("bert"), small_runs.MANIFEST, basis("bert"))


@pytest.mark.parametrize("name", small_runs.METHODS)
def test_the_outputs_are_those_of_the_trained_model(name, backbone, basis, tmp_path):
    model, kind = start(name, backbone, basis), small_runs.METHODS[name].kind
    beginning = small_runs.logits(model)
    small_runs.train(model)
    trained.save(model, tmp_path / "adapter.safetensors", kind)
    again = start(name, backbone, basis)
    assert torch.equal(small_runs.logits(again), beginning)
    restore.load_trained(again, tmp_path / "adapter.safetensors", kind, basis("bert"))
    assert torch.equal(small_runs.logits(again.eval()), small_runs.logits(model.eval()))
    assert not torch.equal(small_runs.logits(model), beginning)


def test_a_matched_size_is_chosen_as_in_training(backbone, basis):
    adapter = small_runs.METHODS["lora"].model_copy(update={"match_parameters": "frod"})
    run = small_runs.run(adapter, matched=small_runs.METHODS["frod"])
    model = restore.start(run, backbone("bert"), small_runs.MANIFEST, None)
    ranks = {p.shape[0] for name, p in model.named_parameters() if "lora_A" in name}
    # FRoD: 5 x (32 + 51) + 64 + 204 a block; LoRA: r (4 x 64 + 2 x 96): 448 r
    assert ranks == {2}


@pytest.mark.parametrize("name", ["lora", "full_ft", "linear_probe"])
@pytest.mark.parametrize("change", ["more", "less", "shape"])
def test_a_file_of_other_tensors_is_refused(name, change, backbone, basis, tmp_path):
    model = start(name, backbone, basis)
    trained.save(model, tmp_path / "adapter.safetensors", small_runs.METHODS[name].kind)
    stored = load_file(tmp_path / "adapter.safetensors")
    if change == "more":
        stored["other"] = torch.zeros(1)
    elif change == "less":
        stored.pop("classifier.bias")
    else:
        stored["classifier.bias"] = torch.zeros(4)
    save_file(stored, tmp_path / "adapter.safetensors")
    with pytest.raises(ValueError, match="other" if change == "more" else r"classifier\.bias"):
        restore.load_trained(model, tmp_path / "adapter.safetensors", small_runs.METHODS[name].kind, None)


@pytest.mark.parametrize(("changes", "message"), [({"seed": 4}, "seed"), ({"sparse_rate": 0.1}, "sparse_rate")])
def test_an_adapter_of_another_run_is_refused(changes, message, backbone, basis, tmp_path):
    trained.save(start("frod", backbone, basis), tmp_path / "adapter.safetensors", "frod")
    other = start("frod", backbone, basis, **changes)
    with pytest.raises(ValueError, match=message):
        restore.load_trained(other, tmp_path / "adapter.safetensors", "frod", basis("bert"))
