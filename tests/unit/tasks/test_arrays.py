"""Prepared arrays: batches equal to the plain computation, and no changed byte goes unseen."""

import json

import numpy as np
import pytest
import torch

from frod.tasks import arrays, packages, registry


@pytest.fixture
def digits(prepared):
    return prepared(registry.load()["digits"])


@pytest.fixture
def texts(prepared, spec, mirror):
    return prepared(spec, mirror=mirror)


def split_of(labels, tokens, offsets, pad=9):
    tokens = {"tokens": np.array(tokens, np.int32), "offsets": np.array(offsets)}
    inputs = {"pad_token_id": pad}
    return arrays.Split(name="train", labels=labels, ids=np.arange(len(labels)), arrays=tokens, inputs=inputs)


def test_a_batch_of_images_is_the_normalised_source(digits):
    split = arrays.load_split(digits, "validation")
    batch = split.batch(np.array([3, 0, 3]))
    source = packages.digits()
    rows = split.ids[[3, 0, 3]]
    expected = (source.inputs[rows].astype(np.float32) / 255 - 0.3) / 0.4
    assert batch["pixel_values"].shape == (3, 1, 8, 8)
    torch.testing.assert_close(batch["pixel_values"][:, 0], torch.from_numpy(expected).float(), atol=1e-6, rtol=0)
    assert batch["labels"].tolist() == source.labels[rows].tolist()
    assert batch["pixel_values"].dtype == torch.float32 and batch["labels"].dtype == torch.int64


def test_images_are_mapped_not_read(digits):
    split = arrays.load_split(digits, "train")
    assert isinstance(split.arrays["images"], np.memmap) and split.arrays["images"].dtype == np.uint8
    assert set(split.lengths) == {1}


def test_a_batch_of_texts_is_padded_on_the_right_to_its_longest():
    split = split_of(np.array([0, 1, 0]), [5, 6, 5, 6, 8, 5], [0, 2, 5, 6])
    batch = split.batch(np.array([1, 2]))
    assert batch["input_ids"].tolist() == [[5, 6, 8], [5, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == torch.int64
    assert split.batch(np.array([0]))["input_ids"].shape == (1, 2)
    assert split.lengths.tolist() == [2, 3, 1]


def test_labels_of_a_regression_stay_floats():
    split = split_of(np.array([0.5, 1.5], np.float32), [1, 2], [0, 1, 2])
    assert split.batch(np.array([1]))["labels"].tolist() == [1.5]


def test_batches_of_texts_are_the_rows_one_by_one(texts):
    split = arrays.load_split(texts, "train")
    chosen = np.random.default_rng(0).permutation(len(split))[:20]
    batch = split.batch(chosen)
    tokens, offsets = split.arrays["tokens"], split.arrays["offsets"]
    for row, i in enumerate(chosen):
        own = tokens[offsets[i] : offsets[i + 1]].tolist()
        assert batch["input_ids"][row].tolist() == own + [7] * (batch["input_ids"].shape[1] - len(own))
        assert int(batch["attention_mask"][row].sum()) == len(own)


def test_three_splits_of_the_right_sizes(texts):
    rows = {name: len(arrays.load_split(texts, name)) for name in arrays.SPLITS}
    assert rows == {"train": 51, "validation": 9, "test": 12}


@pytest.mark.parametrize("load", [arrays.load_manifest, lambda folder: arrays.load_split(folder, "train")])
def test_a_changed_byte_is_an_error_with_both_hashes(texts, load):
    path = texts / "train.labels.npy"
    digest = arrays.load_manifest(texts)["splits"]["train"]["files"][path.name]
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"train.labels.npy: sha256 is .*{digest}"):
        load(texts)
    assert len(arrays.load_split(texts, "test")) == 12  # another split is not touched


def test_a_missing_file_is_named(texts):
    (texts / "test.tokens.npy").unlink()
    with pytest.raises(ValueError, match=r"test\.tokens\.npy: is missing"):
        arrays.load_manifest(texts)


def test_a_manifest_that_was_written_into_is_an_error(texts):
    path = texts / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"]["files"]["train.labels.npy"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="does not fit the digest"):
        arrays.load_manifest(texts)


def test_another_folder_is_no_task(tmp_path):
    with pytest.raises(ValueError, match="is not a prepared task"):
        arrays.load_manifest(tmp_path)


def test_an_unknown_split_lists_the_known_ones(texts):
    with pytest.raises(ValueError, match="no split 'dev'; it has test, train, validation"):
        arrays.load_split(texts, "dev")
