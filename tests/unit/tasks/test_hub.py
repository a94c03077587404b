"""Data sets of the Hub: the mirror first, only the files needed, and every fault of the data said with its figures."""

import io

import huggingface_hub
import numpy as np
import pyarrow as pa
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from PIL import Image
from small_sources import REVISION, entry, sentences, write

from frod.tasks import hub
from frod.tasks.prepare import read
from frod.tasks.registry import TaskSpec


def folder_of(mirror):
    return mirror / "datasets" / "someone" / "texts" / "plain"


def task(**changes):
    return TaskSpec.model_validate(entry(**changes))


def test_the_mirror_gives_the_rows(mirror, spec):
    source = read(spec, seed=0, mirror=mirror)
    train = source.splits["train"]
    assert train.inputs[5] == "number 5 is here"
    assert train.labels.tolist() == sentences(60)["label"]
    assert train.ids.tolist() == list(range(60))
    assert source.facts["revision"] == REVISION
    assert list(source.facts["files"]) == [
        "plain/train-00000-of-00001.parquet",
        "plain/validation-00000-of-00001.parquet",
    ]


def test_shards_are_joined_in_order(mirror, spec):
    folder = folder_of(mirror)
    (folder / "train-00000-of-00001.parquet").unlink()
    write(folder, sentences(25, 35), "train-00001-of-00002.parquet")
    write(folder, sentences(35), "train-00000-of-00002.parquet")
    assert read(spec, seed=0, mirror=mirror).splits["train"].ids.tolist() == list(range(60))


def test_without_the_mirror_the_hub_is_asked_for_just_these_files(monkeypatch, mirror, spec):
    asked = {}

    def snapshot_download(repo_id, **arguments):
        asked.update(arguments, id=repo_id)
        return str(mirror / "datasets" / "someone" / "texts")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    read(spec, seed=0, mirror=None)
    assert asked == {
        "id": "someone/texts",
        "repo_type": "dataset",
        "revision": REVISION,
        "allow_patterns": ["plain/train-*.parquet", "plain/validation-*.parquet"],
    }


@pytest.mark.parametrize("error", [OfflineModeIsEnabled("offline"), ConnectionError("no route")])
def test_offline_says_what_to_do(monkeypatch, spec, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"someone/texts.*Go online, or set paths.mirror \(or FROD_MIRROR\)"):
        read(spec, seed=0, mirror=None)


def test_a_mirror_that_is_no_folder_is_named(tmp_path, spec):
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        read(spec, seed=0, mirror=tmp_path / "nowhere")


def change(columns, **values):
    return columns | values


BROKEN = {
    "truncated": (sentences(59), "59 rows, the registry says 60"),
    "altered labels": (change(sentences(60), label=[0] * 30 + [1] * 30), r"\[30, 30\].*\[20, 40\]"),
    "a column missing": ({k: v for k, v in sentences(60).items() if k != "label"}, "no column 'label'; it has"),
    "text for labels": (change(sentences(60), label=["1"] * 60), "column 'label' should be integer, is string"),
    "numbers for text": (change(sentences(60), sentence=list(range(60))), "'sentence' should be text, is int64"),
    "a label missing": (
        change(sentences(60), label=[None, *sentences(60)["label"][1:]]),
        r"no integer in 1 of 60.*\[0\]",
    ),
    "nan": (change(sentences(60), label=[float("nan"), *sentences(60)["label"][1:]]), "no integer in 1 of 60"),
    "no labels at all": (change(sentences(60), label=[None] * 60), "empty in all 60 rows"),
    "a fraction": (change(sentences(60), label=[0.5, *sentences(60)["label"][1:]]), r"\[0.5\] at rows \[0\]"),
    "a sentence missing": (change(sentences(60), sentence=[None, *["x"] * 59]), "'sentence' is empty in 1 rows"),
    "repeated ids": (change(sentences(60), idx=[0] * 60), "ids repeat"),
}


@pytest.mark.parametrize(("columns", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_data_are_an_error_with_both_figures(mirror, spec, columns, words):
    write(folder_of(mirror), columns)
    with pytest.raises(ValueError, match=words):
        read(spec, seed=0, mirror=mirror)


UNUSABLE = {
    "the Hub's unlabelled test": ([-1] * 12, "12 of 12 labels .* -1 is the Hub's mark of a split without labels"),
    "an unknown class": ([0, 2] * 6, r"6 of 12 labels are none of the 2 classes, such as \[2, 2"),
    "one class": ([1] * 12, "all 12 labels are 'yes'"),
}


@pytest.mark.parametrize(("labels", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_labels_of_test_are_an_error(mirror, labels, words):
    write(folder_of(mirror), change(sentences(12), label=labels), "validation-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=f"split validation .*{words}"):
        read(task(rows={}), seed=0, mirror=mirror)


def test_an_empty_split_is_an_error(mirror):
    columns = {
        "sentence": pa.array([], pa.string()),
        "label": pa.array([], pa.int64()),
        "idx": pa.array([], pa.int32()),
    }
    write(folder_of(mirror), columns, "validation-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=r"split validation .* is empty"):
        read(task(rows={}), seed=0, mirror=mirror)


def test_a_file_cut_short_is_an_error(mirror, spec):
    path = folder_of(mirror) / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="not a whole parquet file"):
        read(spec, seed=0, mirror=mirror)


def test_a_missing_shard_is_an_error_with_both_figures(mirror, spec):
    folder = folder_of(mirror)
    (folder / "train-00000-of-00001.parquet").rename(folder / "train-00000-of-00002.parquet")
    with pytest.raises(ValueError, match="has 1 files, their names promise 2"):
        read(spec, seed=0, mirror=mirror)


def test_a_missing_split_is_an_error(mirror, spec):
    (folder_of(mirror) / "validation-00000-of-00001.parquet").unlink()
    with pytest.raises(ValueError, match="no file plain/validation"):
        read(spec, seed=0, mirror=mirror)


def test_a_local_folder_serves_as_well(tmp_path):
    write(tmp_path, sentences(60), "train.parquet")
    write(tmp_path, sentences(12), "validation.parquet")
    source = read(task(source={"path": str(tmp_path)}), seed=0)
    assert len(source.splits["train"]) == 60
    assert str(tmp_path.parent) not in str(source.facts)  # no machine's paths in a manifest


def test_pairs_of_sentences_and_images_are_read(mirror):
    pairs = {"a": ["x"] * 60, "b": ["y"] * 60, "label": sentences(60)["label"]}
    write(folder_of(mirror), pairs)
    source = hub.read(task(columns={"text": ["a", "b"]}), ["train"], mirror)
    assert source.splits["train"].inputs[0] == ("x", "y")

    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(file, "png")
    images = {"image": [{"bytes": file.getvalue(), "path": "0.png"}] * 60, "label": sentences(60)["label"]}
    write(folder_of(mirror), images)
    source = hub.read(task(kind="images", columns={"image": "image"}), ["train"], mirror)
    assert source.splits["train"].inputs[0] == file.getvalue()
