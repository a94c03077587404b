"""Preparation as a whole: the same bytes every time, no example in two splits, all or nothing on disk."""

import hashlib

import numpy as np
import pytest
from small_sources import sentences, write

from frod.tasks import arrays, pretraining, registry
from frod.tasks.prepare import prepare


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def make(prepared, mirror, spec):
    """Prepare a task of the registry, or the mirror's, into a folder of that name."""
    return lambda out, name=None, **how: prepared(registry.load()[name] if name else spec, out, mirror=mirror, **how)


@pytest.mark.parametrize("name", [None, "digits", "territory_language", "sums"])
def test_the_same_arguments_give_the_same_bytes(make, name):
    assert content(make("first", name)) == content(make("second", name))


@pytest.mark.parametrize("name", [None, "digits", "territory_language"])
def test_another_seed_draws_other_examples(make, name):
    ids = [arrays.load_split(make(str(seed), name, seed=seed), "validation").ids.tolist() for seed in (0, 1)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("name", ["digits", "territory_language"])
def test_no_example_is_in_two_splits_and_none_is_lost(make, name):
    folder = make("out", name)
    ids = np.concatenate([arrays.load_split(folder, split).ids for split in arrays.SPLITS])
    assert len(np.unique(ids)) == len(ids) == arrays.load_manifest(folder)["source"]["rows"]["all"]


def test_validation_comes_from_train_and_test_is_the_benchmarks(make):
    folder = make("out")
    splits = {name: arrays.load_split(folder, name) for name in arrays.SPLITS}
    assert not set(splits["train"].ids) & set(splits["validation"].ids)
    assert set(splits["train"].ids) | set(splits["validation"].ids) == set(range(60))
    assert splits["test"].ids.tolist() == list(range(12))
    assert np.bincount(splits["validation"].labels).tolist() == [3, 6]


def test_parity_has_the_digits_members_and_their_parity(make):
    digits, parity = make("digits", "digits"), make("parity", "digits_parity")
    for name in arrays.SPLITS:
        ten, two = arrays.load_split(digits, name), arrays.load_split(parity, name)
        np.testing.assert_array_equal(ten.ids, two.ids)
        np.testing.assert_array_equal(ten.labels % 2, two.labels)


def test_digits_for_pretraining_are_those_of_train(make):
    train = arrays.load_split(make("out", "digits", seed=4), "train")
    images = pretraining.data(registry.load()["digits"], seed=4)
    np.testing.assert_array_equal(images, train.arrays["images"][..., 0])


def test_a_cap_on_training_examples_is_stratified_and_said(make):
    folder = make("out", max_train=12)
    train, manifest = arrays.load_split(folder, "train"), arrays.load_manifest(folder)
    assert np.bincount(train.labels).tolist() == [4, 8]
    assert manifest["parameters"] == {"seed": 0, "max_train": 12, "train_available": 51, "protocol": "audited"}
    assert arrays.load_split(make("whole", max_train=500), "train").ids.tolist() != train.ids.tolist()


def test_the_released_protocol_validates_on_test_and_says_so(make):
    folder = make("out", protocol="released")
    assert len(arrays.load_split(folder, "train")) == 60
    assert arrays.load_split(folder, "validation").ids.tolist() == arrays.load_split(folder, "test").ids.tolist()
    assert arrays.load_manifest(folder)["parameters"]["protocol"] == "released"


def test_the_released_protocol_keeps_train_and_test_apart(make):
    folder = make("out", "digits", protocol="released")
    train, validation, test = (arrays.load_split(folder, split).ids for split in arrays.SPLITS)
    assert test.tolist() == validation.tolist() == arrays.load_split(make("audited", "digits"), "test").ids.tolist()
    assert sorted([*train, *test]) == list(range(1797))  # only test is drawn from train


def test_the_manifest_says_what_a_run_needs(make):
    manifest = arrays.load_manifest(make("out"))
    assert manifest["task"] == "mine" and manifest["num_classes"] == 2 and manifest["class_names"] == ["no", "yes"]
    assert manifest["metrics"] == ["accuracy"] and manifest["inputs"]["max_length"] == 8
    assert manifest["truncated"] == {"train": 0, "validation": 0, "test": 0}


def test_a_failure_leaves_what_was_there(make, mirror, tmp_path):
    folder = make("out")
    before = content(folder)
    write(mirror / "datasets" / "someone" / "texts" / "plain", sentences(59))
    with pytest.raises(ValueError, match="59 rows"):
        make("out")
    assert content(folder) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_second_preparation_replaces_the_first(make):
    folder = make("out")
    (folder / "left.over").touch()
    make("out", seed=1)
    assert not (folder / "left.over").exists()
    assert arrays.load_manifest(folder)["parameters"]["seed"] == 1


def test_an_unknown_protocol_is_named(make):
    with pytest.raises(ValueError, match="protocol: is 'held_out'; it should be one of audited, released"):
        make("out", protocol="held_out")


def test_a_backbone_of_other_inputs_is_refused(tmp_path, spec, image_facts, text_facts):
    with pytest.raises(ValueError, match="task mine has text, the backbone vit takes images"):
        prepare("mine", spec, backbone="vit", input_facts=image_facts, out=tmp_path / "out", seed=0)
    with pytest.raises(ValueError, match="needs the backbone's tokenizer"):
        prepare("mine", spec, backbone="b", input_facts=text_facts, out=tmp_path / "out", seed=0)
