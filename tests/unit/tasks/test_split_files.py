"""Files of data sets: the mirror first, only those needed, nothing left behind, and every fault with its figures."""

import contextlib
import io
import json
import socket
from pathlib import Path

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_sources import REVISION, entry, sentences, write

from frod.tasks.prepare import opened
from frod.tasks.registry import TaskSpec

TRAIN, TEST = "train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"


@pytest.fixture
def read(tmp_path):
    """Read a source whose inputs stay in use until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda task, mirror=None: stack.enter_context(
            opened(task, seed=0, mirror=mirror, near=tmp_path / "scratch" / "task")
        )


def folder_of(mirror):
    return mirror / "datasets" / "someone" / "texts" / "plain"


def task(**changes):
    return TaskSpec.model_validate(entry(**changes))


def test_the_mirror_gives_the_rows(mirror, spec, read):
    source = read(spec, mirror)
    train = source.splits["train"]
    assert train.inputs[5] == "number 5 is here"
    assert train.labels.tolist() == sentences(60)["label"]
    assert train.ids.tolist() == list(range(60))
    assert source.facts["revision"] is None  # this mirror does not say which commit it holds
    assert list(source.facts["files"]) == [f"plain/{TRAIN}", f"plain/{TEST}"]


def test_shards_are_joined_in_order(mirror, spec, read):
    folder = folder_of(mirror)
    (folder / TRAIN).unlink()
    write(folder, sentences(25, 35), "train-00001-of-00002.parquet")
    write(folder, sentences(35), "train-00000-of-00002.parquet")
    assert read(spec, mirror).splits["train"].ids.tolist() == list(range(60))


def test_without_the_mirror_the_hub_is_asked_for_just_these_files(monkeypatch, mirror, spec, read):
    asked = {}

    def snapshot_download(repo_id, **arguments):
        asked.update(arguments, id=repo_id)
        return str(mirror / "datasets" / "someone" / "texts")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    read(spec)
    assert asked == {
        "id": "someone/texts",
        "repo_type": "dataset",
        "revision": REVISION,
        "allow_patterns": ["plain/validation-*.parquet", "plain/train-*.parquet"],
    }


def first(column, value):
    """The training rows with another value in the first of them."""
    return {column: [value, *sentences(60)[column][1:]]}


COLUMNS = {
    "altered labels": ({"label": [0] * 30 + [1] * 30}, r"\[30, 30\].*\[20, 40\]"),
    "words for labels": ({"label": ["cat"] * 60}, r"'label' is none of .* in 60 of 60 .*'cat'"),
    "text for ids": ({"idx": ["1"] * 60}, "column 'idx' should be integer, is string"),
    "lists for labels": ({"label": [[1]] * 60}, "'label' should be integer, truth value or text"),
    "numbers for text": ({"sentence": list(range(60))}, "'sentence' should be text, is int64"),
    "a label missing": (first("label", None), r"'label' is empty \(fill it in, .* in 1 of 60.*\[0\]"),
    "nan": (first("label", float("nan")), "no integer in 1 of 60"),
    "no labels at all": ({"label": [None] * 60}, "empty in all 60 rows"),
    "a fraction": (first("label", 0.5), r"\[0.5\] at rows \[0\]"),
    "a sentence missing": (first("sentence", None), "'sentence' is empty in 1 of 60 rows"),
    "repeated ids": ({"idx": [0] * 60}, "ids repeat"),
}
BROKEN = {name: (sentences(60) | columns, words) for name, (columns, words) in COLUMNS.items()} | {
    "truncated": (sentences(59), "59 rows, the registry says 60"),
    "a column missing": ({k: v for k, v in sentences(60).items() if k != "label"}, "no column 'label'; it has"),
}


@pytest.mark.parametrize(("columns", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_data_are_an_error_with_both_figures(mirror, spec, columns, words, read):
    write(folder_of(mirror), columns)
    with pytest.raises(ValueError, match=words):
        read(spec, mirror)


UNUSABLE = {
    "the Hub's unlabelled test": ([-1] * 12, "12 of 12 labels .* -1 is the Hub's mark of a split without labels"),
    "an unknown class": ([0, 2] * 6, r"6 of 12 labels are none of the 2 classes, such as \[2, 2"),
    "one class": ([1] * 12, "all 12 labels are 'yes'"),
}


@pytest.mark.parametrize(("labels", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_labels_of_test_are_an_error(mirror, labels, words, read):
    write(folder_of(mirror), sentences(12) | {"label": labels}, TEST)
    with pytest.raises(ValueError, match=f"split validation .*{words}"):
        read(task(rows={"train": {"rows": 60}, "validation": {"rows": 12}}), mirror)


def test_an_empty_split_is_an_error(mirror, read):
    kinds = {"sentence": pa.string(), "label": pa.int64(), "idx": pa.int32()}
    write(folder_of(mirror), {name: pa.array([], kind) for name, kind in kinds.items()}, TEST)
    with pytest.raises(ValueError, match=r"validation-00000-of-00001.parquet: the split is empty"):
        read(task(rows={"train": {"rows": 60}, "validation": {"rows": 12}}), mirror)


def broken_in_the_middle(path):
    content = bytearray(path.read_bytes())
    content[4:400] = b"x" * 396  # the first pages; the footer is whole
    path.write_bytes(content)


DAMAGES = {
    "cut short": (TRAIN, lambda path: path.write_bytes(path.read_bytes()[:-40]), "not a whole parquet file"),
    "broken in its middle": (TRAIN, broken_in_the_middle, "cannot be read to its end"),
    "a missing shard": (
        TRAIN,
        lambda path: path.rename(path.with_name(TRAIN.replace("00001", "00002"))),
        "has 1 files, their names promise 2",
    ),
    "a missing split": (TEST, Path.unlink, "no file plain/validation"),
}


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_an_error(mirror, spec, read, name, damage, words):
    damage(folder_of(mirror) / name)
    with pytest.raises(ValueError, match=words):
        read(spec, mirror)


def test_a_mirror_that_names_its_commit_is_taken_at_its_word(mirror, read, spec):
    record = {"repositories": {"datasets/someone/texts": {"revision": REVISION}}}
    (mirror / "mirror.json").write_text(json.dumps(record))
    assert read(spec, mirror).facts["revision"] == REVISION


def test_a_local_folder_serves_as_well(tmp_path, read):
    write(tmp_path, sentences(60), "train.parquet")
    write(tmp_path, sentences(12), "validation.parquet")
    source = read(task(source={"path": str(tmp_path)}))
    assert len(source.splits["train"]) == 60
    assert str(tmp_path.parent) not in str(source.facts)  # no machine's paths in a manifest


def test_pairs_of_sentences_are_read(mirror, read):
    pairs = {"a": ["x"] * 60, "b": ["y"] * 60, "label": sentences(60)["label"]}
    write(folder_of(mirror), pairs)
    write(folder_of(mirror), {n: v[:12] for n, v in pairs.items()}, TEST)
    train = read(task(columns={"text": ["a", "b"]}), mirror).splits["train"]
    assert train.inputs[0] == ("x", "y") and train.ids[-1] == 59  # no column of ids: the row


@pytest.mark.parametrize("nested", [True, False], ids=["the library's images", "plain bytes"])
def test_images_stay_encoded(mirror, read, nested):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 9, np.uint8)).save(file, "png")
    for rows, name in ((60, "train"), (12, "validation")):
        cell = {"bytes": file.getvalue(), "path": "0.png"} if nested else file.getvalue()
        images = {"image": [cell] * rows, "label": sentences(rows)["label"]}
        write(folder_of(mirror), images, f"{name}-00000-of-00001.parquet")
    source = read(task(kind="images", columns={"image": "image"}), mirror)
    assert source.splits["train"].inputs[0] == file.getvalue()


def test_inputs_are_read_when_they_are_asked_for(mirror, read, spec):
    train = read(spec, mirror).splits["train"]
    some = train.take(np.array([7, 3])).take(np.array([1]))
    assert some.inputs[0] == "number 3 is here" and list(some.inputs[:5]) == ["number 3 is here"]
    assert not isinstance(train.inputs, list)


def test_reading_needs_no_network_says_nothing_and_leaves_nothing(mirror, spec, tmp_path, monkeypatch, capfd):
    def refused(*_, **__):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    with opened(spec, seed=0, mirror=mirror, near=tmp_path / "new" / "task"):
        (scratch,) = (tmp_path / "new").iterdir()
        assert list(scratch.rglob("*.arrow"))
    assert list((tmp_path / "new").iterdir()) == []
    assert capfd.readouterr() == ("", "")


CARD = b'{"info": {"features": {"label": {"names": %s, "_type": "ClassLabel"}}}}'


def carded(mirror, names):
    """Have the training file name its classes as the Hub's files do."""
    table = pa.table(sentences(60)).replace_schema_metadata({b"huggingface": CARD % names})
    pq.write_table(table, folder_of(mirror) / TRAIN)


def test_the_sources_names_serve_where_the_registry_only_counts(mirror, read):
    carded(mirror, b'["bad", "good"]')
    assert read(task(classes=2), mirror).class_names == ["bad", "good"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (b'["yes", "no"]', r"\['no', 'yes'\] are in another order than the source's, which are \['yes', 'no'\]"),
        (b'["no", "yes", "perhaps"]', r"the source has 3, .*perhaps.*the registry has 2"),
    ],
)
def test_other_classes_than_the_sources_are_an_error(mirror, read, spec, names, words):
    carded(mirror, names)
    with pytest.raises(ValueError, match=words):
        read(spec, mirror)


def test_a_split_that_is_not_asked_for_is_not_touched(mirror, read):
    broken = folder_of(mirror) / "extra-00000-of-00001.parquet"
    broken.write_bytes(b"no parquet")
    rows = entry()["rows"] | {"extra": {"rows": 5}}
    assert set(read(task(rows=rows), mirror).splits) == {"train", "validation"}
