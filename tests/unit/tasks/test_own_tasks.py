"""Tasks of one's own, from csv files and folders of images: as docs/your-data.md says, and every slip named."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from frod.tasks import arrays, pretraining
from frod.tasks.choices import texts
from frod.tasks.prepare import divide, opened, prepare
from frod.tasks.registry import TaskSpec

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "your-data.md"


def spec(path, **changes):
    return TaskSpec.model_validate(
        {
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
        | changes
    )


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


def of_images(path, **changes):
    return spec(path, **({"kind": "images", "columns": {}, "classes": ["cat", "dog"]} | changes))


def test_the_examples_of_the_documentation_are_tasks(tmp_path, monkeypatch):
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text("utf-8"), re.DOTALL)
    tasks = {name: TaskSpec.model_validate(t) for block in blocks for name, t in yaml.safe_load(block)["tasks"].items()}
    assert set(tasks) == {"reviews", "shells", "quiz"}

    monkeypatch.chdir(tmp_path)  # as from the folder of params.yaml
    table(tmp_path / "mine" / "reviews.csv", rows=700)
    pictures(tmp_path / "mine" / "shells" / "train", count=40, classes=tasks["shells"].classes)
    pictures(tmp_path / "mine" / "shells" / "test", classes=tasks["shells"].classes)
    lines = ["question,first,second,third,right", *(f"q {i},a,b,c,{i % 3 + 1}" for i in range(200))]
    (tmp_path / "mine" / "quiz.csv").write_text("\n".join(lines))
    for name, rows in (("reviews", 700), ("shells", 138), ("quiz", 200)):
        with opened(tasks[name], seed=0) as source:
            assert sum(len(part) for part in divide(tasks[name], source, seed=0).values()) == rows
    with opened(tasks["quiz"], seed=0) as source:
        text = texts(source.splits["all"].inputs[:1], tasks["quiz"].prompt)
    assert text == ["Question: q 0\nA. a\nB. b\nC. c\nAnswer:"]


@pytest.mark.parametrize(("name", "separator"), [("mine.csv", ","), ("mine.tsv", "\t")])
def test_a_table_in_one_file_is_the_split_all(tmp_path, name, separator):
    table(tmp_path / name, separator=separator)
    with opened(spec(tmp_path / name), seed=0) as source:
        part = source.splits["all"]
        assert part.labels.tolist() == [0, 1] * 10 and part.inputs[3] == "text 3"
        assert list(source.facts["files"]) == [name] and source.facts["what"] == f"path {name}"
        assert str(tmp_path) not in str(source.facts)  # no machine's paths in a manifest


def test_splits_of_a_table_are_files_of_a_folder(tmp_path, text_facts, tokenizer):
    table(tmp_path / "mine" / "train.csv")
    table(tmp_path / "mine" / "test.csv", rows=8)
    task = spec(
        tmp_path / "mine", train={"from": "train"}, validation={"from": "train", "rows": 4}, test={"from": "test"}
    )
    manifest = prepare(
        "mine", task, backbone="b", input_facts=text_facts, tokenizer=tokenizer, out=tmp_path / "out", seed=0
    )
    assert {name: split["rows"] for name, split in manifest["splits"].items()} == {
        "train": 16,
        "validation": 4,
        "test": 8,
    }


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        (("0", "1"), {}),
        (("no", "YES"), {"answers": ["no", "YES"]}),
        (("False", "True"), {"answers": ["False", "True"]}),
    ],
    ids=["numbers", "answers", "truth values"],
)
def test_labels_of_a_csv_are_names_numbers_or_answers(tmp_path, labels, changes):
    table(tmp_path / "mine.csv", labels=labels)
    with opened(spec(tmp_path / "mine.csv", **changes), seed=0) as source:
        assert source.splits["all"].labels.tolist() == [0, 1] * 10


def test_a_regression_of_a_csv(tmp_path):
    table(tmp_path / "mine.csv", labels=("0.25", "1", "-0.5"))
    task = spec(tmp_path / "mine.csv", problem="regression", classes=None, range=[-1, 1], metrics=["pearson"])
    with opened(task, seed=0) as source:
        assert source.splits["all"].labels[:3].tolist() == [0.25, 1, -0.5]


@pytest.mark.parametrize("text", ["NA", "null", "007", '"a, ""b"""', "été"])
def test_words_of_a_csv_stay_as_they_are(tmp_path, text):
    table(tmp_path / "mine.csv", texts=text)
    with opened(spec(tmp_path / "mine.csv"), seed=0) as source:
        assert source.splits["all"].inputs[0] == {'"a, ""b"""': 'a, "b"'}.get(text, text)


def test_a_mark_of_the_byte_order_is_no_part_of_a_column(tmp_path):
    table(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "mine.csv").read_bytes())
    with opened(spec(tmp_path / "mine.csv"), seed=0) as source:
        assert source.splits["all"].inputs[0] == "text 0"


SLIPS = {
    "another class": ("text,label\na,bad\nb,god\n", {}, r"'label' is none of \['bad', 'good'\] in 1 of 2 .*\['god'\]"),
    "spaces": ("text,label\na, bad\nb, good\n", {}, r"'label' is none of \['bad', 'good'\] in 2 of 2 .*' bad'"),
    "classes without names": (
        "text,label\na,bad\nb,good\n",
        {"classes": 2},
        "is no integer .*`classes` by name",
    ),
    "no label": (
        "text,label\na,bad\nb,\n",
        {},
        r"'label' is none of .* in 1 of 2 rows, such as \[None\] at rows \[1\]",
    ),
    "no text": ("text,label\n,bad\nb,good\n", {}, r"'text' is empty in 1 of 2 rows, such as .* at rows \[0\]"),
    "no column": ("words,label\na,bad\n", {}, "no column 'text'; it has 'words', 'label'"),
    "no rows": ("text,label\n", {}, "the split is empty"),
    "nothing": ("", {}, "no column 'text'"),
    "a line too long": ("text,label\na,bad\nb,good,x,y\n", {}, "line 3 has 4 cells, the first line 2; .* quotes"),
    "a line too short": ("text,label\na,bad\n\nb\n", {}, "line 4 has 1 cells"),
    "an open quote": ('text,label\na,bad\n"b,good\n', {}, "cannot be read"),
    "another split": (
        "text,label\na,bad\n",
        {"test": {"from": "test"}},
        "its only split is 'all'; 'test' is asked for",
    ),
    "images": (
        "image,label\nx.png,bad\n",
        {"kind": "images", "columns": {"image": "image", "label": "label"}},
        "mine.csv: holds no images; lay them in folders",
    ),
    "repeated ids": (
        "text,label,n\na,bad,1\nb,good,1\n",
        {"columns": {"text": ["text"], "label": "label", "id": "n"}},
        "ids repeat",
    ),
}


@pytest.mark.parametrize(("content", "changes", "words"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_csv_is_named(tmp_path, content, changes, words):
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(ValueError, match=words), opened(spec(tmp_path / "mine.csv", **changes), seed=0):
        pass


@pytest.mark.parametrize("validation", [{"from": "all"}, {"from": "all", "rows": 14}])
def test_splits_that_leave_nothing_to_train_on_are_named(tmp_path, validation):
    table(tmp_path / "mine.csv")
    task = spec(tmp_path / "mine.csv", validation=validation)
    with opened(task, seed=0) as source, pytest.raises(ValueError, match=r"train: nothing is left of .* all; "):
        divide(task, source, seed=0)


def test_a_csv_in_another_encoding_is_named(tmp_path):
    (tmp_path / "mine.csv").write_bytes("text,label\nété,bad\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not text in UTF-8"), opened(spec(tmp_path / "mine.csv"), seed=0):
        pass


def test_a_path_that_does_not_exist_is_named(tmp_path):
    for task in (spec(tmp_path / "none.csv"), of_images(tmp_path / "none")):
        with pytest.raises(ValueError, match=r"source.path: .*none"), opened(task, seed=0):
            pass


def test_a_split_in_two_forms_is_an_error(tmp_path):
    table(tmp_path / "all.csv")
    table(tmp_path / "all.tsv", separator="\t")
    with (
        pytest.raises(ValueError, match=r"split all is there twice, as all.csv and all.tsv"),
        opened(spec(tmp_path), seed=0),
    ):
        pass


@pytest.mark.parametrize("classes", [["dog", "cat"], 2])
def test_a_folder_of_images_names_its_classes(tmp_path, image_facts, classes):
    pictures(tmp_path / "mine", count=20)
    (tmp_path / "mine" / "cat" / ".hidden").touch()
    task = of_images(tmp_path / "mine", classes=classes)
    facts = image_facts | {"size": [4, 5], "interpolation": "nearest"}
    manifest = prepare("mine", task, backbone="b", input_facts=facts, out=tmp_path / "out", seed=0)
    assert manifest["class_names"] == (classes if isinstance(classes, list) else ["cat", "dog"])
    for name, rows in (("train", 30), ("validation", 4), ("test", 6)):
        split = arrays.load_split(tmp_path / "out", name)
        assert len(split) == rows
        shown = split.arrays["images"][:, 0, 1, 0]  # 0 for a cat, 1 for a dog
        named = [manifest["class_names"][label] for label in split.labels]
        assert named == [("cat", "dog")[c] for c in shown]


def test_a_broken_image_is_named_by_its_path(tmp_path, image_facts):
    pictures(tmp_path / "mine", count=20)
    broken = tmp_path / "mine" / "dog" / "7.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=re.escape(f"image {broken} cannot be read: it is of no known format")):
        prepare(
            "mine", of_images(tmp_path / "mine"), backbone="b", input_facts=image_facts, out=tmp_path / "out", seed=0
        )


def test_splits_of_images_are_folders(tmp_path):
    pictures(tmp_path / "train")
    pictures(tmp_path / "test", count=3)
    pictures(tmp_path / "unused", classes=("cow",))
    task = of_images(tmp_path, train={"from": "train"}, validation={"from": "train", "rows": 2}, test={"from": "test"})
    with opened(task, seed=0) as source:
        assert {name: len(part) for name, part in source.splits.items()} == {"train": 12, "test": 6}
        assert set(source.facts["files"]) == {"train/*/*", "test/*/*"}


def test_a_slip_in_a_folder_of_images_is_named(tmp_path):
    pictures(tmp_path / "mine")
    cases = [
        (of_images(tmp_path / "mine", classes=["cat", "cow"]), r"folders \['dog'\] are none of the classes"),
        (of_images(tmp_path / "mine", classes=3), "has 2 folders, .*classes says 3"),
        (of_images(tmp_path / "mine", test={"from": "test"}), "all is missing|test is missing"),
    ]
    for task, words in cases:
        with pytest.raises(ValueError, match=words), opened(task, seed=0):
            pass
    (tmp_path / "mine" / "cat" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt: is no image"), opened(of_images(tmp_path / "mine"), seed=0):
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
