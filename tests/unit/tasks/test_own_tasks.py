"""Tasks of one's own, from csv files and folders of images: as docs/your-data.md says, and every slip named."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from frod.tasks import arrays, pretraining
from frod.tasks.choices import texts
from frod.tasks.prepare import divide, opened
from frod.tasks.registry import TaskSpec

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "your-data.md"


def spec(path, **changes):
    mine = {
        "title": "Mine",
        "kind": "sentences",
        "source": {"path": str(path)},
        "licence": "mine",
        "columns": {"text": ["text"], "label": "label"},
        "classes": ["bad", "good"],
        "train": {"from": "all"},
        "validation": {"from": "all", "rows": 4},
        "test": {"from": "all", "rows": 6},
        "metrics": ["accuracy"],
    }
    return TaskSpec.model_validate(mine | changes)


def source_of(path, **changes):
    """Open the source of a task."""
    return opened(spec(path, **changes), seed=0)


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine.csv"


def table(path, rows=20, separator=",", labels=("bad", "good"), texts=None):
    lines = [separator.join(("text", "label", "note"))]
    lines += [separator.join((texts or f"text {i}", labels[i % len(labels)], "x")) for i in range(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def pictures(folder, count=6, sizes=((5, 4),), classes=("cat", "dog")):
    """`count` pictures a class; the first pixel of each is its number in the class, the second that of the class."""
    for c, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            width, height = sizes[i % len(sizes)]
            pixels = np.zeros((height, width), np.uint8)
            pixels[0, :2] = i, c
            Image.fromarray(pixels).save(folder / name / f"{i}.{'png' if i % 2 else 'PNG'}", "png")


IMAGES = {"kind": "images", "columns": {}, "classes": ["cat", "dog"]}


def of_images(path, **changes):
    return spec(path, **(IMAGES | changes))


def test_the_examples_of_the_documentation_are_tasks(tmp_path, monkeypatch):
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text("utf-8"), re.DOTALL)
    tasks = {name: TaskSpec.model_validate(t) for block in blocks for name, t in yaml.safe_load(block)["tasks"].items()}
    assert set(tasks) == {"reviews", "shells", "likeness", "quiz", "puzzles"}

    monkeypatch.chdir(tmp_path)  # as from the folder of params.yaml
    table(tmp_path / "mine" / "reviews.csv", rows=700)
    pictures(tmp_path / "mine" / "shells" / "train", count=40, classes=tasks["shells"].classes)
    pictures(tmp_path / "mine" / "shells" / "test", classes=tasks["shells"].classes)
    lines = ["question,first,second,third,right", *(f"q {i},a,b,c,{i % 3 + 1}" for i in range(200))]
    (tmp_path / "mine" / "quiz.csv").write_text("\n".join(lines))
    lines = ["first,second,score", *(f"a {i},b {i},{i % 11 / 2}" for i in range(200))]
    (tmp_path / "mine" / "likeness.csv").write_text("\n".join(lines))
    for name, rows in (("reviews", 700), ("shells", 138), ("quiz", 200), ("likeness", 200)):
        with opened(tasks[name], seed=0) as source:
            assert sum(len(part) for part in divide(tasks[name], source, seed=0).values()) == rows
    with opened(tasks["quiz"], seed=0) as source:
        text = texts(source.splits["all"].inputs[:1], tasks["quiz"].prompt)
    assert text == ["Question: q 0\nA. a\nB. b\nC. c\nAnswer:"]


@pytest.mark.parametrize(("name", "separator"), [("mine.csv", ","), ("mine.tsv", "\t")])
def test_a_table_in_one_file_is_the_split_all(tmp_path, name, separator):
    table(tmp_path / name, separator=separator)
    with source_of(tmp_path / name) as source:
        part = source.splits["all"]
        assert part.labels.tolist() == [0, 1] * 10 and part.inputs[3] == "text 3"
        assert list(source.facts["files"]) == [name] and source.facts["what"] == f"path {name}"
        assert str(tmp_path) not in str(source.facts)  # no machine's paths in a manifest


def test_splits_of_a_table_are_files_of_a_folder(tmp_path, prepared):
    table(tmp_path / "mine" / "train.csv")
    table(tmp_path / "mine" / "test.csv", rows=8)
    parts = {"train": {"from": "train"}, "validation": {"from": "train", "rows": 4}, "test": {"from": "test"}}
    splits = arrays.load_manifest(prepared(spec(tmp_path / "mine", **parts)))["splits"]
    assert {name: split["rows"] for name, split in splits.items()} == {"train": 16, "validation": 4, "test": 8}


REGRESSION = {"problem": "regression", "classes": None, "range": [-1, 1], "metrics": ["pearson"]}
LABELS = {
    "numbers": (("0", "1"), {}, [0, 1]),
    "answers": (("no", "YES"), {"answers": ["no", "YES"]}, [0, 1]),
    "truth values": (("False", "True"), {"answers": ["False", "True"]}, [0, 1]),
    "real numbers": (("0.25", "1", "-0.5"), REGRESSION, [0.25, 1, -0.5]),
}


@pytest.mark.parametrize(("labels", "changes", "expected"), LABELS.values(), ids=LABELS)
def test_labels_of_a_csv_are_names_numbers_or_answers(mine, labels, changes, expected):
    table(mine, rows=18, labels=labels)
    with source_of(mine, **changes) as source:
        assert source.splits["all"].labels.tolist() == expected * (18 // len(labels))


@pytest.mark.parametrize("text", ["NA", "null", "007", '"a, ""b"""', "été"])
def test_words_of_a_csv_stay_as_they_are(mine, text):
    table(mine, texts=text)
    with source_of(mine) as source:
        assert source.splits["all"].inputs[0] == {'"a, ""b"""': 'a, "b"'}.get(text, text)


def test_a_mark_of_the_byte_order_is_no_part_of_a_column(mine):
    table(mine)
    mine.write_bytes(b"\xef\xbb\xbf" + mine.read_bytes())
    with source_of(mine) as source:
        assert source.splits["all"].inputs[0] == "text 0"


TWO = "text,label\na,bad\nb,good\n"
NUMBERED = {"columns": {"text": ["text"], "label": "label", "id": "n"}}
OF_A_TABLE = {"kind": "images", "columns": {"image": "image", "label": "label"}}
SLIPS = {
    "another class": (
        "text,label\na,bad\nb,god\nc,Bad\nd,god\n",
        {},
        r"'label' is none of \['bad', 'good'\] in 3 of 4 rows, such as \['god' \(2 rows, did you mean 'good'\?\), "
        r"'Bad' \(did you mean 'bad'\?\)\] at rows \[1, 2\]",
    ),
    "spaces": ("text,label\na, bad\nb, good\n", {}, r"none .* in 2 of 2 .*' bad' \(did you mean 'bad'\?\)"),
    "a space at the end": (TWO, {"classes": ["bad ", "good"]}, r"none .* in 1 of 2 .*'bad' \(did you mean 'bad '\?\)"),
    "classes without names": (TWO, {"classes": 2}, "is no integer .*`classes` by name"),
    "no label": (
        "text,label\na,bad\nb,\n",
        {},
        r"'label' is empty \(fill it in, or leave the row out\) in 1 of 2 rows, such as \[None\] at rows \[1\]",
    ),
    "no text": ("text,label\n,bad\nb,good\n", {}, r"'text' is empty in 1 of 2 rows, such as .* at rows \[0\]"),
    "no column": ("words,label\na,bad\n", {}, "no column 'text'; it has 'words', 'label'"),
    "no rows": ("text,label\n", {}, "the split is empty"),
    "nothing": ("", {}, "its first line is empty; it names the columns"),
    "semicolons": ("text;label\na;bad\n", {}, "'text;label'; cells are separated by ',' here, not by ';'"),
    "classes from 1": ("text,label\na,1\nb,2\n", {"classes": 2}, "where the source counts from 1, `answers` says"),
    "a line too long": ("text,label\na,bad\nb,good,x,y\n", {}, "line 3 has 4 cells, the first line 2; .* quotes"),
    "a line too short": ("text,label\na,bad\n\nb\n", {}, "line 4 has 1 cells"),
    "an open quote": (
        'text,label\na,bad\n"b,good\nc,bad\n',
        {},
        r"line 3: .* opens here cannot be read .*\(line 4: un",
    ),
    "a quote within quotes": (
        'text,label\n"a\nb",bad\n"c "d"",good\n',
        {},
        r"line 4: .* opens here .*\(line 4: ',' exp",
    ),
    "an open quote before others": (
        'text,label\n"a,bad\nb,bad\n"c, d",good\n',
        {},
        r"line 2: .* opens .*\(line 4: ',' exp",
    ),
    "lines in one": ('text,label\n"a,bad\nb",bad,good\n', {}, "lines 2 to 3 are one and have 3 cells"),
    "another split": (TWO, {"test": {"from": "test"}}, "its only split is 'all'; 'test' is asked for"),
    "images": ("image,label\nx.png,bad\n", OF_A_TABLE, "mine.csv: holds no images; lay them in folders"),
    "repeated ids": ("text,label,n\na,bad,1\nb,good,1\n", NUMBERED, "ids repeat"),
    "another encoding": ("text,label\nété,bad\n".encode("latin-1"), {}, "is not text in UTF-8"),
}


@pytest.mark.parametrize(("content", "changes", "words"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_csv_is_named(mine, content, changes, words):
    mine.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words), source_of(mine, **changes):
        pass


@pytest.mark.parametrize("validation", [{"from": "all"}, {"from": "all", "rows": 14}])
def test_splits_that_leave_nothing_to_train_on_are_named(mine, validation):
    table(mine)
    task = spec(mine, validation=validation)
    with opened(task, seed=0) as source, pytest.raises(ValueError, match=r"train: nothing is left of .* all; "):
        divide(task, source, seed=0)


@pytest.mark.parametrize(("name", "changes"), [("none.csv", {}), ("none", IMAGES)])
def test_a_path_that_does_not_exist_is_named(tmp_path, name, changes):
    with pytest.raises(ValueError, match=r"source.path: .*none"), source_of(tmp_path / name, **changes):
        pass


def test_a_split_in_two_forms_is_an_error(tmp_path):
    table(tmp_path / "all.csv")
    table(tmp_path / "all.tsv", separator="\t")
    with pytest.raises(ValueError, match=r"split all is there twice, as all.csv and all.tsv"), source_of(tmp_path):
        pass


@pytest.mark.parametrize("classes", [["dog", "cat"], 2])
def test_a_folder_of_images_names_its_classes(tmp_path, image_facts, prepared, classes):
    pictures(tmp_path / "mine", count=20)
    (tmp_path / "mine" / "cat" / ".hidden").touch()
    facts = image_facts | {"size": [4, 5], "interpolation": "nearest"}
    folder = prepared(of_images(tmp_path / "mine", classes=classes), input_facts=facts)
    names = arrays.load_manifest(folder)["class_names"]
    assert names == (classes if isinstance(classes, list) else ["cat", "dog"])
    for name, rows in (("train", 30), ("validation", 4), ("test", 6)):
        split = arrays.load_split(folder, name)
        assert len(split) == rows
        shown = split.arrays["images"][:, 0, 1, 0]  # 0 for a cat, 1 for a dog
        assert [names[label] for label in split.labels] == [("cat", "dog")[c] for c in shown]


def test_image_size_is_that_of_the_arrays(tmp_path, prepared):
    pictures(tmp_path / "mine", count=20)
    folder = prepared(of_images(tmp_path / "mine", image_size=6))
    assert arrays.load_manifest(folder)["inputs"]["size"] == [6, 6]
    assert arrays.load_split(folder, "test").arrays["images"].shape[1:3] == (6, 6)


def test_a_broken_image_is_named_by_its_path(tmp_path, prepared):
    pictures(tmp_path / "mine", count=20)
    broken = tmp_path / "mine" / "dog" / "7.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=re.escape(f"image {broken} cannot be read: it is of no known format")):
        prepared(of_images(tmp_path / "mine"))


def test_splits_of_images_are_folders(tmp_path):
    pictures(tmp_path / "train")
    pictures(tmp_path / "test", count=3)
    pictures(tmp_path / "unused", classes=("cow",))
    task = of_images(tmp_path, train={"from": "train"}, validation={"from": "train", "rows": 2}, test={"from": "test"})
    with opened(task, seed=0) as source:
        assert {name: len(part) for name, part in source.splits.items()} == {"train": 12, "test": 6}
        assert set(source.facts["files"]) == {"train/*/*", "test/*/*"}


SLIPS_OF_IMAGES = {
    "another class": ({"classes": ["cat", "cow"]}, r"folders \['dog'\] are none of the classes"),
    "another number of classes": ({"classes": 3}, "has 2 folders, .*classes says 3"),
    "another split": ({"test": {"from": "test"}}, "all is missing|test is missing"),
    "a file that is no image": ({}, r"notes\.txt: is no image"),
}


@pytest.mark.parametrize(("changes", "words"), SLIPS_OF_IMAGES.values(), ids=SLIPS_OF_IMAGES)
def test_a_slip_in_a_folder_of_images_is_named(tmp_path, changes, words):
    pictures(tmp_path / "mine")
    if not changes:
        (tmp_path / "mine" / "cat" / "notes.txt").touch()
    with pytest.raises(ValueError, match=words), opened(of_images(tmp_path / "mine", **changes), seed=0):
        pass


def test_another_image_is_seen_in_the_facts(tmp_path):
    digests = []
    for count in (6, 7):
        pictures(tmp_path / "mine", count=count)
        with opened(of_images(tmp_path / "mine"), seed=0) as source:
            digests.append(source.facts["files"]["all/*/*"])
    assert digests[0] != digests[1]


def test_images_from_files_can_be_pretrained_on(tmp_path):
    pictures(tmp_path / "mine", count=20)
    images = pretraining.data(of_images(tmp_path / "mine"), seed=0)
    assert images.shape == (30, 4, 5) and images.dtype == np.uint8


def test_images_of_unlike_sizes_cannot_be_pretrained_on(tmp_path):
    pictures(tmp_path / "mine", count=20, sizes=((5, 4), (6, 4)))
    with pytest.raises(ValueError, match=r"is \d x 4 pixels, the first \d x 4; pre-training takes images of one size"):
        pretraining.data(of_images(tmp_path / "mine"), seed=0)
