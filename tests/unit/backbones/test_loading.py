"""Loading: the pretrained weights as they are, a head that only its seed decides, and one way to ask any model."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hub import WRITERS

import frod
from frod import backbones

TEXT = {
    "input_ids": torch.tensor([[1, 2, 3, 4], [3, 1, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
}
IMAGES = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
BATCHES = {"llama": TEXT, "roberta": TEXT, "clip": IMAGES}
HEADS = {"llama": ["score"], "roberta": ["classifier"], "clip": ["classifier"]}
KINDS = pytest.mark.parametrize("kind", WRITERS)


@KINDS
def test_logits_have_one_shape_for_every_kind(folders, kind):
    model = backbones.load(folders[kind], num_classes=5, seed=0)
    assert backbones.logits(model, BATCHES[kind] | {"labels": torch.tensor([0, 1])}).shape == (2, 5)
    assert backbones.head_modules(model) == HEADS[kind]
    assert not model.training


@KINDS
def test_the_seed_alone_decides_the_head(folders, kind):
    def head(seed, disturbance):
        torch.manual_seed(disturbance)
        model = backbones.load(folders[kind], num_classes=3, seed=seed)
        names = tuple(backbones.head_modules(model))
        return {n: p for n, p in model.state_dict().items() if n.startswith(names)}

    first, again, other = head(0, 1), head(0, 2), head(1, 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    weights = torch.cat([w.flatten() for name, w in first.items() if name.endswith("weight")])
    assert 0.01 < weights.std() < 0.03
    assert all(not w.any() for name, w in first.items() if name.endswith("bias"))


@KINDS
def test_the_global_generator_is_left_alone(folders, kind):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    backbones.load(folders[kind], num_classes=3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@KINDS
def test_the_weights_outside_the_head_are_the_files(folders, kind):
    stored = load_file(folders[kind] / "model.safetensors")
    model = backbones.load(folders[kind], num_classes=3, seed=0)
    body = {n: p for n, p in model.named_parameters() if not n.startswith(tuple(HEADS[kind]))}
    assert body
    for name, weight in body.items():
        file_name = name if name in stored else name.partition(".")[2]
        assert torch.equal(weight, stored[file_name]), name


@pytest.mark.parametrize("kind", [*HEADS, "vit"])
def test_a_skeleton_and_its_files_give_the_weights_of_the_loaded_model(folders, vit, kind):
    folder = vit if kind == "vit" else folders[kind]
    model, empty = backbones.load(folder, num_classes=2, seed=0), backbones.skeleton(folder)
    assert all(parameter.is_meta for parameter in empty.parameters())
    assert {n: (p.shape, p.dtype) for n, p in empty.named_parameters()} == {
        n: (p.shape, p.dtype) for n, p in model.named_parameters()
    }
    assert frod.model_hash(empty, checkpoint=folder) == frod.model_hash(model)


@pytest.mark.parametrize(
    ("kind", "expected"), [("clip", 1 + (16 // 8) ** 2), ("vit", 1 + (8 // 4) ** 2), ("llama", 12)]
)
def test_tokens_of_an_example(folders, vit, kind, expected):
    folder = vit if kind == "vit" else folders[kind]
    assert backbones.tokens(backbones.skeleton(folder), backbones.input_facts(folder)) == expected


def test_padding_does_not_change_llamas_answer(folders):
    model = backbones.load(folders["llama"], num_classes=3, seed=0)
    short = {name: tensor[1:, :2] for name, tensor in TEXT.items()}
    torch.testing.assert_close(backbones.logits(model, TEXT)[1:], backbones.logits(model, short))
    assert backbones.input_facts(folders["llama"])["pad_token_id"] == 0  # no padding token: the unknown word's


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_weights_have_the_dtype(folders, dtype):
    model = backbones.load(folders["roberta"], num_classes=3, seed=0, dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {dtype}
    single = backbones.load(folders["roberta"], num_classes=3, seed=0)
    torch.testing.assert_close(model.classifier.out_proj.weight, single.classifier.out_proj.weight.to(dtype))


def test_llamas_rotary_frequencies_stay_in_float32(folders):
    model = backbones.load(folders["llama"], num_classes=3, seed=0, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert {b.dtype for name, b in model.named_buffers() if "inv_freq" in name} == {torch.float32}


def test_a_regression_has_one_output(folders):
    model = backbones.load(folders["roberta"], num_classes=1, problem="regression", seed=0)
    assert backbones.logits(model, TEXT).shape == (2, 1)
    assert model.config.problem_type == "regression"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_classes": 1}, "num_classes is 1; a classification has at least 2"),
        ({"num_classes": 2, "problem": "regression"}, "num_classes is 2; a regression has 1"),
        ({"num_classes": 2, "problem": "ranking"}, "problem is 'ranking'"),
        ({"num_classes": 2, "dtype": torch.float64}, "dtype is torch.float64"),
    ],
)
def test_arguments_out_of_range_are_named(folders, arguments, words):
    with pytest.raises(ValueError, match=words):
        backbones.load(folders["roberta"], seed=0, **arguments)


def rewrite(folder, weights):
    """Other weights, with a source.json that fits them."""
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    source = json.loads((folder / "source.json").read_text())
    source["files"]["model.safetensors"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "source.json").write_text(json.dumps(source))


@pytest.mark.parametrize("fault", ["altered", "truncated", "missing"])
def test_weights_other_than_source_json_s_are_refused(folders, tmp_path, fault):
    """A run's record names source.json alone: what it lists must be what was loaded."""
    shutil.copytree(folders["llama"], tmp_path / "broken")
    path = tmp_path / "broken" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if fault != "missing":
        path.write_bytes(content if fault == "altered" else content[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors: sha256 is .*, source\.json says [0-9a-f]{64}"):
        backbones.load(tmp_path / "broken", num_classes=3, seed=0)


def test_a_missing_weight_outside_the_head_is_an_error(folders, tmp_path):
    shutil.copytree(folders["llama"], tmp_path / "broken")
    weights = load_file(tmp_path / "broken" / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    rewrite(tmp_path / "broken", weights)
    with pytest.raises(ValueError, match=r"1 weights outside the head are missing .* model\.layers\.1\.mlp\.up_proj"):
        backbones.load(tmp_path / "broken", num_classes=3, seed=0)


def test_a_misshapen_weight_outside_the_head_is_an_error(folders, tmp_path):
    shutil.copytree(folders["llama"], tmp_path / "broken")
    weights = load_file(tmp_path / "broken" / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] = weights["model.layers.1.mlp.up_proj.weight"][:5].clone()
    rewrite(tmp_path / "broken", weights)
    with pytest.raises(ValueError, match=r"missing or misshapen, such as model\.layers\.1\.mlp\.up_proj"):
        backbones.load(tmp_path / "broken", num_classes=3, seed=0)


def test_a_folder_without_source_json_is_no_backbone(tmp_path):
    with pytest.raises(ValueError, match="is not a backbone"):
        backbones.load(tmp_path, num_classes=3, seed=0)


def test_input_facts_of_clip_are_its_preprocessors(folders):
    facts = backbones.input_facts(folders["clip"])
    assert (facts["kind"], facts["size"], facts["resize"], facts["channels"]) == ("images", [16, 16], 20, 3)
    assert facts["interpolation"] == "bicubic"
    np.testing.assert_allclose(facts["mean"], [0.48145466, 0.4578275, 0.40821073])
    assert backbones.tokenizer(folders["clip"]) is None


def test_input_facts_of_a_later_preprocessor_file_are_the_same(folders, tmp_path):
    from frod.backbones import folder, registry

    config = json.loads((folders["clip"] / "preprocessor_config.json").read_text())
    later = config | {"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(later))
    facts = folder._image_inputs(tmp_path, registry.get("clip_vit_b32"))
    assert facts == backbones.input_facts(folders["clip"])


def test_the_tokenizer_is_the_folders(folders):
    assert backbones.tokenizer(folders["roberta"])("a bb ccc")["input_ids"] == [1, 2, 3]
    assert backbones.input_facts(folders["roberta"]) == {"kind": "text", "max_length": 12, "pad_token_id": 6}
