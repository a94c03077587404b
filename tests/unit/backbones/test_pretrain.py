"""What is pre-trained here: it learns, bit for bit the same each time, into files that the libraries read."""

import hashlib

import numpy as np
import pytest
import torch
from tiny_hub import SMALL, pretrained, tiny_vit

from frod import backbones
from frod.backbones import pretrain, registry
from frod.backbones.registry import BackboneSpec

STEPS = 120
SIZES = {"patch_size": 2, "embed_dim": 16, "depth": 2, "global_pool": "avg"}
VIT = tiny_vit(**SIZES, steps=STEPS, batch_size=32, lr=0.003)
SIZES = SMALL | {"intermediate_size": 32, "num_key_value_heads": 2}
SIZES |= {"max_position_embeddings": 32, "tie_word_embeddings": True}
SETTINGS = {"steps": STEPS, "batch_size": 16, "lr": 0.01}
LLAMA = pretrained("transformers", "next_word", "llama", SIZES, data="sums", more={"lines": 50}, **SETTINGS)


def arrows(examples=300):
    """Images that all point one way: their turn is easily seen."""
    images = np.zeros((examples, 8, 8), np.uint8)
    images[:, 1, 2:6] = 255
    noise = np.random.default_rng(0).integers(0, 60, images.shape, dtype=np.uint8)
    return np.maximum(images, noise)


def counting(lines=300):
    """Text whose next word is certain after the first."""
    return [" ".join(str((start + i) % 10) for i in range(6)) for start in range(lines)]


DATA = {"vit": (VIT, arrows), "llama": (LLAMA, counting)}
BOTH = pytest.mark.parametrize("kind", DATA)


def make(kind, out, seed=0):
    entry, data = DATA[kind]
    losses = []
    facts = backbones.materialise(
        kind,
        BackboneSpec.model_validate(entry),
        out,
        seed=seed,
        pretraining_data=data(),
        progress=lambda *said: losses.append(said),
    )
    return facts, losses


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("made")
    return {kind: (out / kind, *make(kind, out / kind)) for kind in DATA}


@BOTH
def test_it_learns_and_shows_its_progress(made, kind):
    _, _, losses = made[kind]
    assert [step for step, *_ in losses] == list(range(1, STEPS + 1)) and {steps for _, steps, _ in losses} == {STEPS}
    assert losses[-1][2] < 0.5 * losses[0][2]


@BOTH
def test_the_same_seed_gives_the_same_bytes(made, kind, tmp_path):
    folder, facts, _ = made[kind]
    torch.manual_seed(99)  # the world's state does not matter
    again, _ = make(kind, tmp_path / kind)
    assert again == facts
    for name in [*facts["files"], "source.json"]:
        assert (folder / name).read_bytes() == (tmp_path / kind / name).read_bytes(), name
    other, _ = make(kind, tmp_path / "other", seed=1)
    assert other["files"]["model.safetensors"] != facts["files"]["model.safetensors"]


@BOTH
def test_source_json_seals_the_files(made, kind):
    folder, facts, _ = made[kind]
    for name, digest in facts["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert facts["pretraining"]["examples"] == 300


def test_timm_itself_loads_the_folder_to_the_same_features(made):
    import timm

    folder, *_ = made["vit"]
    ours = backbones.load(folder, num_classes=3, seed=0)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = ours.forward_head(ours.forward_features(images), pre_logits=True)
        assert torch.equal(features, theirs(images))
        assert torch.equal(backbones.logits(ours, {"pixel_values": images}), ours.head(features))


def test_transformers_itself_loads_the_folder_and_it_counts_on(made):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, *_ = made["llama"]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer(["3 4 5 6", "8 9 0 1"], return_tensors="pt")
    with torch.no_grad():
        words = model(input_ids=inputs["input_ids"]).logits[:, -1].argmax(-1)
    assert tokenizer.convert_ids_to_tokens(words) == ["7", "2"]


def test_words_are_whole_and_the_unknown_is_said(made):
    tokenizer = backbones.tokenizer(made["llama"][0])
    assert tokenizer.convert_ids_to_tokens(tokenizer("3 41")["input_ids"]) == ["<s>", "3", "<unk>"]
    assert tokenizer.pad_token_id == backbones.input_facts(made["llama"][0])["pad_token_id"] == 0
    assert tokenizer.padding_side == "right"


def test_input_facts_of_the_vision_transformer(made):
    facts = backbones.input_facts(made["vit"][0])
    pixels = arrows() / 255
    assert (facts["size"], facts["channels"], facts["resize"]) == ([8, 8], 1, None)
    np.testing.assert_allclose([facts["mean"][0], facts["std"][0]], [pixels.mean(), pixels.std()], atol=1e-3)


def test_images_are_turned_by_quarters():
    image = torch.arange(64.0).view(1, 1, 8, 8).repeat(4, 1, 1, 1)
    turned = pretrain._turned(image, torch.arange(4))
    for quarters in range(4):
        np.testing.assert_array_equal(turned[quarters, 0], np.rot90(image[0, 0].numpy(), quarters))


@pytest.mark.parametrize("data", [None, []])
def test_a_pretraining_without_data_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match="digit_vit is pre-trained on the task digits, but no data"):
        backbones.materialise("digit_vit", registry.load()["digit_vit"], tmp_path / "vit", pretraining_data=data)
    assert list(tmp_path.iterdir()) == []
