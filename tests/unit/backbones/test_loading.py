"""Loading: the pretrained weights as they are, a head that only its seed decides, and one way to ask any model."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_hub
import torch
from safetensors.torch import load_file, save_file
from tiny_hub import WRITERS

import frod
from frod import backbones
from frod.backbones import causal, folder, loading, registry
from frod.backbones.registry import BackboneSpec
from frod.method import targets
from frod.provenance import artefacts

TEXT = {
    "input_ids": torch.tensor([[1, 2, 3, 4], [3, 1, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
}
IMAGES = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
BATCHES = {kind: IMAGES if kind in tiny_hub.IMAGES else TEXT for kind in WRITERS}
HEADS = {
    "llama": ["score"],
    "roberta": ["classifier"],
    "bert": ["classifier"],
    "distilbert": ["pre_classifier", "classifier"],  # both are new
    "deberta": ["pooler", "classifier"],
    "gpt2": ["score"],
    "clip": ["classifier"],
    "timm_clip": ["head"],
    "vit": ["classifier"],
}
# The layers of a block, by kind; null: the default.
TARGETS = {
    "distilbert": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    "deberta": ["query_proj", "key_proj", "value_proj", "attention.output.dense", "intermediate.dense", "output.dense"],
    "vit": ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"],
}
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


@pytest.mark.parametrize("kind", [*HEADS, "pretrained_vit"])
def test_a_skeleton_and_its_files_give_the_weights_of_the_loaded_model(folders, vit, kind):
    folder = vit if kind == "pretrained_vit" else folders[kind]
    model, empty = backbones.load(folder, num_classes=2, seed=0), backbones.skeleton(folder)
    assert all(parameter.is_meta for parameter in empty.parameters())
    of_empty, of_model = ({n: (p.shape, p.dtype) for n, p in one.named_parameters()} for one in (empty, model))
    assert of_empty == of_model
    names = [name for layers in targets.find(model, TARGETS.get(kind)).values() for name in layers]
    assert frod.model_hash(empty, names, checkpoint=folder) == frod.model_hash(model, names)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("clip", 5), ("timm_clip", 5), ("vit", 5), ("pretrained_vit", 1 + (8 // 4) ** 2), ("llama", 12)],
)
def test_tokens_of_an_example(folders, vit, kind, expected):
    folder = vit if kind == "pretrained_vit" else folders[kind]
    assert backbones.tokens(backbones.skeleton(folder), backbones.input_facts(folder)) == expected


def of_shape(name, **arguments):
    """A classifier of images of three channels without numbers, of timm's or of transformers."""
    import timm
    from transformers import AutoConfig

    with torch.device("meta"):
        if name.startswith(("resnet", "vit_", "swin_")):
            return timm.create_model(name, pretrained=False, num_classes=2, **arguments)
        return loading.library_class("images").from_config(AutoConfig.for_model(name, **arguments))


def square(edge):
    return {"kind": "images", "channels": 3, "size": [edge, edge]}


TINY_DINO = tiny_hub.SMALL | {"image_size": 28, "patch_size": 14}
TINY_SWIN = {"image_size": 64, "patch_size": 4, "depths": [1], "num_heads": [2], "embed_dim": 8}
DYNAMIC = {"img_size": 32, "patch_size": 16, "depth": 1, "dynamic_img_size": True}


def test_tokens_where_no_layer_norm_of_three_dimensions_tells():
    """A convolutional model has none; a root mean square norm tells as well, and rows and columns do."""
    model = of_shape("resnet18")
    assert loading.tokens(model, square(64)) == 1 and loading.refusal(model, square(50)) is None
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert loading.tokens(of_shape("vit_tiny_patch16_224", img_size=32, norm_layer="rmsnorm"), square(32)) == 1 + 4
    swin = of_shape("swin_tiny_patch4_window7_224", img_size=56, depths=(1,), num_heads=(3,))
    assert loading.tokens(swin, square(56)) == (56 // 4) ** 2


@pytest.mark.parametrize(
    ("name", "arguments", "edge", "words"),
    [
        ("dinov2", TINY_DINO, 28, None),
        ("dinov2", TINY_DINO, 42, None),
        ("dinov2", TINY_DINO, 50, "its patches are of 14 pixels; take a multiple"),
        (
            "vit_tiny_patch16_224",
            DYNAMIC,
            50,
            "Input height (50) should be divisible by patch size (16).",
        ),  # timm's own
        ("vit_tiny_patch16_224", DYNAMIC | {"dynamic_img_pad": True}, 50, None),  # it fills the image up: none is lost
        ("swin", TINY_SWIN, 50, None),  # so does this
    ],
)
def test_pixels_that_would_be_in_no_patch_are_refused(name, arguments, edge, words):
    assert loading.refusal(of_shape(name, **arguments), square(edge)) == words


@pytest.mark.parametrize(("kind", "pad"), [("llama", 0), ("gpt2", 0), ("roberta", 6), ("deberta", 6)])
def test_padding_does_not_change_the_answer(folders, kind, pad):
    """Llama's and GPT-2's tokenizers have no padding token: the unknown word's serves."""
    model = backbones.load(folders[kind], num_classes=3, seed=0)
    short = {name: tensor[1:, :2] for name, tensor in TEXT.items()}
    torch.testing.assert_close(backbones.logits(model, TEXT)[1:], backbones.logits(model, short))
    assert backbones.input_facts(folders[kind])["pad_token_id"] == model.config.pad_token_id == pad


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


@KINDS
def test_a_regression_has_one_output(folders, kind):
    model = backbones.load(folders[kind], num_classes=1, problem="regression", seed=0)
    assert backbones.logits(model, BATCHES[kind]).shape == (2, 1)
    if kind != "timm_clip":
        assert model.config.problem_type == "regression"


# Two blocks each: q, k, v, the attention's output, the two of the MLP; GPT-2's q, k and v are one; Llama without down.
CATEGORIES = dict.fromkeys(WRITERS, 6) | {"gpt2": 4}


@KINDS
def test_targets_are_found_and_the_gradient_reaches_them_and_the_head(folders, kind):
    model = backbones.load(folders[kind], num_classes=3, seed=0)
    found = targets.find(model, TARGETS.get(kind))
    assert {category: len(layers) for category, layers in found.items()} == dict.fromkeys(found, 2)
    assert len(found) == CATEGORIES[kind]
    head = [model.get_submodule(name) for name in backbones.head_modules(model)]
    backbones.logits(model, BATCHES[kind]).square().sum().backward()
    reached = [p for module in head for p in module.parameters()]
    reached += [getattr(layer, "layer", layer).weight for layers in found.values() for layer in layers.values()]
    assert all(weight.grad is not None and weight.grad.any() for weight in reached)


@KINDS
def test_frod_attaches_from_the_files_alone(folders, kind):
    model, empty = backbones.load(folders[kind], num_classes=3, seed=0), backbones.skeleton(folders[kind])
    basis = frod.extract_basis(empty, TARGETS.get(kind), checkpoint=folders[kind], progress=False)
    before = backbones.logits(model, BATCHES[kind])
    frod.attach(model, basis, sparse_rate=0.1)
    torch.testing.assert_close(backbones.logits(model, BATCHES[kind]), before, rtol=1e-3, atol=1e-4)


def test_timms_clip_is_transformers_clip(folders):
    """The same weights, by OpenAI's names through timm and by transformers itself: the same features of an image."""
    model = backbones.load(folders["timm_clip"], num_classes=3, seed=0)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(IMAGES["pixel_values"]), pre_logits=True)
        expected = tiny_hub.clip().vision_model(IMAGES["pixel_values"]).pooler_output
    torch.testing.assert_close(features, expected)
    facts = backbones.input_facts(folders["timm_clip"])
    assert (facts["size"], facts["resize"], facts["interpolation"]) == ([16, 16], 20, "bicubic")


def test_weights_of_other_names_are_renamed_and_both_files_recorded(folders, mirror):
    for kind, file in {"timm_clip": "open_clip_model.safetensors", "vit": "model.safetensors"}.items():
        source = backbones.describe(folders[kind])
        stored = mirror / "models" / "someone" / kind / file
        assert source["fetched"][file] == hashlib.sha256(stored.read_bytes()).hexdigest()
        assert "model.safetensors" in source["files"]
    assert "fetched" not in backbones.describe(folders["bert"])


@pytest.fixture
def materialised(tmp_path):
    """A model of text of another class than usual, from a folder of one's own: the model and its backbone's folder."""

    def make(kind, model, **changes):
        whole = tiny_hub.write_text(kind, tmp_path / "mine", model, **changes)
        spec = BackboneSpec.model_validate(tiny_hub.entry(kind, source={"path": str(tmp_path / "mine")}))
        backbones.materialise(kind, spec, tmp_path / "out")
        return whole, tmp_path / "out"

    return make


@pytest.mark.parametrize(("kind", "most"), [("gpt2", 16), ("roberta", 40 - 7)])
def test_a_text_longer_than_the_models_positions_is_refused(mirror, tmp_path, kind, most):
    """As many tokens as are taken can be sent through the model, and no more; RoBERTa's begin behind its padding, 6."""
    for length in (most, most + 1):
        spec = BackboneSpec.model_validate(tiny_hub.entry(kind, max_length=length))
        if length > most:
            with pytest.raises(ValueError, match=rf"{kind}: max_length: is {length}, .* positions for {most} tokens"):
                backbones.materialise(kind, spec, tmp_path / "over", mirror=mirror)
            assert not (tmp_path / "over").exists()
        else:
            backbones.materialise(kind, spec, tmp_path / kind, mirror=mirror)
    model = backbones.load(tmp_path / kind, num_classes=2, seed=0)
    text = torch.ones((1, most + 1), dtype=torch.int64)
    backbones.logits(model, {"input_ids": text[:, 1:], "attention_mask": text[:, 1:]})
    with pytest.raises((IndexError, RuntimeError)):
        backbones.logits(model, {"input_ids": text, "attention_mask": text})


@pytest.mark.parametrize("kind", ["xlnet", "bloom", "deberta-v2"])
def test_a_model_without_a_table_of_positions_takes_texts_of_any_length(kind):
    """XLNet says -1, BLOOM nothing, and DeBERTa 3's 512 are distances, beyond which all are alike."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(kind, **({"position_biased_input": False} if kind == "deberta-v2" else {}))
    model = torch.nn.Module()
    model.config = config
    assert loading.positions(model) is None


def test_a_tied_language_model_serves_as_well(materialised):
    """GPT-2's output weight is its embedding: neither is lost where the files hold it once."""
    whole, folder = materialised("gpt2", "GPT2LMHeadModel", n_layer=1)
    model = backbones.load(folder, num_classes=2, seed=0)
    assert torch.equal(model.transformer.wte.weight, whole.lm_head.weight)


@pytest.mark.parametrize(("kind", "model"), [("gpt2", "GPT2LMHeadModel"), ("llama", "LlamaForCausalLM")])
def test_a_causal_language_model_keeps_its_own_head(materialised, kind, model):
    """Tied to the embedding (GPT-2) or not (Llama): the next token's scores are those of transformers' own model."""
    whole, folder = materialised(kind, model)
    loaded = backbones.load(folder, num_classes=None, seed=0)
    with torch.no_grad():
        expected = whole.eval()(**TEXT).logits
        assert torch.equal(backbones.logits(loaded, TEXT), expected)
    assert backbones.head_modules(loaded) == []
    assert [n for n, _ in backbones.skeleton(folder, causal=True).named_parameters()] == [
        n for n, _ in whole.named_parameters()
    ]


@pytest.mark.parametrize("tied", [False, True])
def test_a_renamed_language_model_keeps_its_own_head(materialised, tmp_path, monkeypatch, tied):
    """transformers stores Mixtral's experts one by one and has them in one weight; a tied head is stored nowhere."""
    experts = {"num_local_experts": 2, "num_key_value_heads": 2, "bos_token_id": None, "tie_word_embeddings": tied}
    sizes = tiny_hub.SMALL | tiny_hub.UNPADDED | experts
    monkeypatch.setitem(tiny_hub.TEXTS, "mixtral", ("MixtralForCausalLM", "MixtralConfig", sizes))
    whole, folder = materialised("mixtral", None)
    assert "fetched" in backbones.describe(folder), "no name was changed"
    stored = load_file(folder / "model.safetensors")
    assert stored.keys() == {name for name, _ in whole.named_parameters()}
    assert ("lm_head.weight" in stored) != tied
    loaded = backbones.load(folder, num_classes=None, seed=0)
    with torch.no_grad():
        assert torch.equal(backbones.logits(loaded, TEXT), whole.eval()(**TEXT).logits)
    assert backbones.head_modules(backbones.load(folder, num_classes=3, seed=0)) == ["score"]


@pytest.mark.parametrize("kind", ["roberta", "bert", "clip", "timm_clip"])
def test_what_is_no_causal_language_model_is_refused(folders, kind):
    """transformers would build RoBERTa as one, though it was pretrained to look both ways."""
    with pytest.raises(ValueError, match=rf"the backbone {kind} \(.*\) is no causal language model"):
        backbones.load(folders[kind], num_classes=None, seed=0)


BOTH_WAYS = {
    "xlnet": {"d_model": 16, "d_inner": 24, "n_layer": 2, "n_head": 2, "vocab_size": 20},
    "bert-generation": tiny_hub.SMALL | {"vocab_size": 20},
    "cpmant": tiny_hub.SMALL | {"dim_head": 8, "dim_ff": 24, "prompt_length": 2, "vocab_size": 20},
    "gemma3_text": tiny_hub.SMALL
    | {"head_dim": 8, "num_key_value_heads": 2, "vocab_size": 20, "use_bidirectional_attention": True},
}


@pytest.mark.parametrize("kind", [*BOTH_WAYS, "gemma3_text to the left"])
def test_a_model_whose_earlier_scores_a_later_token_changes_is_no_causal_one(kind):
    """Held against the models themselves, in transformers' own class for causal ones."""
    from transformers import AutoConfig, AutoModelForCausalLM

    named, _, left = kind.partition(" ")
    arguments = BOTH_WAYS[named] | ({"use_bidirectional_attention": False} if left else {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(named, **arguments)).eval()
    texts = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[3, 4, 5, 9]])
    with torch.no_grad():
        one, other = (model(input_ids=text, attention_mask=torch.ones_like(text)).logits[:, :-1] for text in texts)
    assert causal.is_causal(model.config.to_dict()) == torch.equal(one, other) == bool(left)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "xlnet"}, r"\(xlnet\)"),
        (
            {"model_type": "gemma3_text", "use_bidirectional_attention": True},
            r"\(gemma3_text with use_bidirectional_attention\)",
        ),
        (
            {"model_type": "gemma4", "text_config": {"use_bidirectional_attention": "all"}},
            r"\(gemma4 with use_bidirectional_attention\)",
        ),
        ({}, r"\(of timm\)"),
        ({"model_type": "gemma4", "text_config": {"use_bidirectional_attention": "vision"}}, None),  # of images alone
    ],
)
def test_what_looks_both_ways_is_named(config, words):
    if words is None:
        causal.check_causal("mine", config)
        return
    with pytest.raises(ValueError, match=f"the backbone mine {words} is no causal language model"):
        causal.check_causal("mine", config)


def test_a_language_model_without_its_head_is_refused(materialised):
    """Its weights would be drawn at random, and nothing trains them."""
    _, folder = materialised("llama", "LlamaModel")
    with pytest.raises(ValueError, match=r"1 weights outside the head are missing .* lm_head\.weight"):
        backbones.load(folder, num_classes=None, seed=0)


def test_a_body_without_its_pooler_is_refused(materialised):
    """BERT's classifier reads the pooler; drawn again and frozen it would be noise."""
    _, folder = materialised("bert", "BertForMaskedLM")
    with pytest.raises(ValueError, match=r"2 weights outside the head are missing .* bert\.pooler"):
        backbones.load(folder, num_classes=2, seed=0)


def test_a_model_that_is_no_classifier_of_its_kind_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip_vision_model"}')
    with pytest.raises(ValueError, match=r"transformers has no classifier of images for it \(Unrecognized"):
        loading.empty(tmp_path, "transformers", "images")


@pytest.mark.parametrize(
    ("config", "resize"),
    [
        ({"crop_pct": 0.9, "crop_mode": "center"}, 248),  # timm rounds down
        ({"crop_pct": 1.0, "crop_mode": "center"}, 224),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, None),
        ({"crop_pct": 1.0}, None),
    ],
)
def test_how_timm_crops(config, resize):
    inputs = {"input_size": [3, 224, 224], "interpolation": "bicubic", "mean": [0.5], "std": [0.5]}
    assert folder._timm_inputs(inputs | config)["resize"] == resize
    with pytest.raises(ValueError, match=r"crop_mode border with crop_pct 0.9 is not supported"):
        folder._timm_inputs(inputs | {"crop_pct": 0.9, "crop_mode": "border"})


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


@pytest.fixture
def llama(folders, tmp_path):
    """A copy of the folder, to be damaged."""
    return Path(shutil.copytree(folders["llama"], tmp_path / "broken"))


@pytest.mark.parametrize("fault", ["altered", "truncated", "missing"])
def test_weights_other_than_source_json_s_are_refused(llama, fault):
    """A run's record names source.json alone: what it lists must be what was loaded."""
    path = llama / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if fault != "missing":
        path.write_bytes(content if fault == "altered" else content[:-100])
    told = "is missing, source.json names it" if fault == "missing" else "sha256 is .*, source.json says [0-9a-f]{64}"
    with pytest.raises(ValueError, match=rf"model\.safetensors: {told}"):
        backbones.load(llama, num_classes=3, seed=0)


@pytest.mark.parametrize("fault", ["missing", "misshapen"])
def test_a_missing_or_misshapen_weight_outside_the_head_is_an_error(llama, fault):
    """Though source.json fits the file."""
    path, name = llama / "model.safetensors", "model.layers.1.mlp.up_proj.weight"
    weights = load_file(path)
    lost = weights.pop(name)
    weights |= {name: lost[:5].clone()} if fault == "misshapen" else {}
    save_file(weights, path, metadata={"format": "pt"})
    source = json.loads((llama / "source.json").read_text())
    source["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (llama / "source.json").write_text(json.dumps(artefacts.with_digest(source)))
    told = r"1 weights outside the head are missing or misshapen, such as model\.layers\.1\.mlp\.up_proj"
    with pytest.raises(ValueError, match=told):
        backbones.load(llama, num_classes=3, seed=0)


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
    config = json.loads((folders["clip"] / "preprocessor_config.json").read_text())
    later = config | {"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(later))
    facts = folder._image_inputs(tmp_path, registry.load()["clip_vit_b32"])
    assert facts == backbones.input_facts(folders["clip"])


def test_the_tokenizer_is_the_folders(folders):
    assert backbones.tokenizer(folders["roberta"])("a bb ccc")["input_ids"] == [1, 2, 3]
    assert backbones.input_facts(folders["roberta"]) == {"kind": "text", "max_length": 12, "pad_token_id": 6}
