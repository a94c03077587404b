"""`frod init` writes a valid suite for each form of data; what cannot be told is asked for in one line."""

import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from frod.cli.init import init
from frod.config import safe_yaml
from frod.pipeline import inspect_data
from frod.pipeline.load import load_workflow

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with the parameters and suites of this repository."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "workflow/suites", tmp_path / "workflow/suites")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FROD_MIRROR", raising=False)
    return tmp_path


def written(name="mine", **options):
    init(name, **options)
    load_workflow(safe_yaml.read(Path("params.yaml")) | {"suite": name}, Path.cwd())
    return safe_yaml.read(Path(f"workflow/suites/{name}.yaml"))["tasks"][name]


def reviews(rows=50):
    return pd.DataFrame({"review": [f"text, {i}" for i in range(rows)], "stars": [str(i % 2) for i in range(rows)]})


def test_a_table_of_any_form_is_read_for_its_columns_classes_and_splits():
    table = reviews().assign(stars=lambda t: t["stars"].map({"0": "no", "1": "yes"}))
    table.to_csv("reviews.csv", index=False)
    task = written("csv", data="reviews.csv")
    assert task["source"] == {"path": "reviews.csv"} and task["columns"] == {"text": ["review"], "label": "stars"}
    assert task["classes"] == ["no", "yes"], "words of YAML stay words"
    assert task["validation"] == {"from": "all", "rows": 5} and task["test"] == {"from": "all", "rows": 10}
    Path("mine").mkdir()
    table.to_csv("mine/train.tsv", sep="\t", index=False)
    table.to_parquet("mine/test.parquet", index=False)
    task = written("folder", data="mine")
    assert [task[name] for name in ("train", "validation", "test")] == [
        {"from": "train"}, {"from": "train", "rows": 5}, {"from": "test"}
    ]  # fmt: skip


def test_labels_that_are_no_names_and_do_not_count_from_zero_become_answers():
    reviews().assign(stars=lambda t: t["stars"].astype(int) + 1).to_parquet("reviews.parquet")
    task = written(data="reviews.parquet")
    assert task["answers"] == ["1", "2"] and task["classes"] == ["1", "2"]


def draw_shells(*splits):
    for split in splits:
        for name in ("cockle", "whelk"):
            folder = Path("shells", split, name)
            folder.mkdir(parents=True)
            for i in range(20):
                Image.new("L", (8, 8), i).save(folder / f"{i}.png")


def test_images_in_folders_of_classes_or_of_splits():
    draw_shells("train", "test")
    task = written("splits", data="shells")
    assert task["classes"] == ["cockle", "whelk"] and task["test"] == {"from": "test"} and "columns" not in task
    assert written("classes", data="shells/train")["train"] == {"from": "all"}


def test_no_split_is_passed_over_for_its_name():
    draw_shells("train", "val", "test")
    assert written("shells", data="shells")["validation"] == {"from": "val"}
    Path("mine").mkdir()
    for split in ("train", "val"):
        reviews().to_csv(f"mine/{split}.csv", index=False)
    assert written("tables", data="mine")["validation"] == {"from": "val"}
    said = r"has the splits \['train'\], and \['holdout'\], which are none; call them train, validation or test"
    for path in ("shells", "mine"):
        for split in Path(path).glob("val*"):
            split.rename(split.with_stem("holdout"))
        shutil.rmtree("shells/test", ignore_errors=True)
        with pytest.raises(ValueError, match=f"--data: {path} {said}"):
            init("other", data=path)


def test_a_data_set_of_the_hub_leaves_out_splits_without_labels(monkeypatch):
    folder = Path("mirror/datasets/owner/name/data")
    folder.mkdir(parents=True)
    table = reviews().assign(stars=lambda t: t["stars"].astype(int))
    for split, part in {"train": table, "test": table.assign(stars=-1)}.items():
        part.to_parquet(folder / f"{split}-00000-of-00001.parquet", index=False)
    monkeypatch.setenv("FROD_MIRROR", "mirror")
    task = written(data="owner/name", label="stars")
    assert task["source"]["hub"] == "owner/name" and task["rows"] == {"train": {"rows": 50}}
    assert task["source"]["files"]["train"] == "data/train-*.parquet"
    assert task["test"] == {"from": "train", "rows": 10}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": "none.csv"}, "--data: none.csv does not exist"),
        ({"data": "params.yaml"}, r"should end in one of \.csv, \.tsv, \.parquet"),
        ({"data": "two.csv"}, r"which of the columns \['a', 'b'\] is the text\? Name it by --text"),
        ({"data": "two.csv", "text": ["c"]}, "no column 'c'; it has 'a', 'b', 'label'"),
        ({"data": "two.csv", "label": "lable"}, "no column 'lable'; it has 'a', 'b', 'label'; did you mean 'label'"),
        ({"data": "shells", "label": "kind"}, "--text, --label: name columns of a table, and shells is a folder of im"),
        ({"data": "many.csv"}, r"which of the columns \['a', 'b'\] is the label\? Name it by --label"),
        ({"data": "two.csv", "text": ["a"], "model": "bert"}, "--model: is 'bert', no registered model"),
    ],
)
def test_what_cannot_be_told_is_asked_for_and_nothing_is_written(options, said):
    pd.DataFrame({"a": ["x", "y"] * 20, "b": ["u", "v"] * 20, "label": ["0", "1"] * 20}).to_csv("two.csv", index=False)
    pd.DataFrame({"a": map(str, range(40)), "b": map(str, range(40))}).to_csv("many.csv", index=False)
    Path("shells/whelk").mkdir(parents=True)
    with pytest.raises(ValueError, match=said):
        init("mine", **options)
    assert not Path("workflow/suites/mine.yaml").exists()


def test_three_trials_are_drawn_in_the_box_of_a_suite_with_the_model_or_in_one_to_begin_with():
    reviews().to_csv("reviews.csv", index=False)
    smoke = {one["backbone"]: one["box"] for one in safe_yaml.read(Path("workflow/suites/smoke.yaml"))["experiments"]}
    Path("workflow/suites/nlu.yaml").unlink()  # the one with roberta_large
    boxes = {}
    for model in ("minilm", "micro_llama", "roberta_large"):
        written(f"on_{model}", data="reviews.csv", model=model)
        suite = safe_yaml.read(Path(f"workflow/suites/on_{model}.yaml"))
        boxes[model] = suite["experiments"][0]["box"]
        assert suite["tune"] == {"trials": 3}
    for model in ("minilm", "micro_llama"):
        assert boxes[model] == {method: smoke[model][method] for method in ("full_ft", "frod")}
    assert boxes["roberta_large"].keys() == {"full_ft", "frod"} and boxes["roberta_large"] not in smoke.values()


TEXTS = [f"text {i}" for i in range(40)]
TABLES = {
    "latin.csv": "text,label\nschön,gut\n".encode("latin-1"),
    "empty.csv": b"",
    "head.csv": b"text,label\n",
    "semicolons.csv": b"text;label\na;b\n",
    "one.csv": b"text\n" + b"hello\nworld\n" * 20,
    "quote.csv": b'text,label\n"a,b\nc,d\n',
    "folder": None,
    "fractions.parquet": pd.DataFrame({"text": TEXTS, "label": [i % 7 / 4 for i in range(40)]}),
    "ids.parquet": pd.DataFrame({"text": TEXTS, "label": range(40)}),
    "lists.parquet": pd.DataFrame({"text": TEXTS, "label": [["a"], ["b"]] * 20}),
    "gaps.parquet": pd.DataFrame({"text": TEXTS, "label": ["a", "b", None, "a"] * 10}),
    "cut.parquet": b"PAR1",
}
SAID = {
    "latin.csv": r"latin.csv: is not text in UTF-8 \(.*\); save it as such",
    "empty.csv": "empty.csv: its first line is empty; it names the columns",
    "head.csv": "head.csv: the split is empty",
    "semicolons.csv": "'text;label'; cells are separated by ',' here, not by ';'",
    "one.csv": r"no column of text is left: it has \['text'\], of which 'text' is the label",
    "quote.csv": "quote.csv: line 2: a text in quotes that opens here cannot be read to its end",
    "folder": r"folder/test\.csv: no column 'label'; it has 'text'",
    "fractions.parquet": r"'label' has fractions, such as 0\.25: of a regression",
    "ids.parquet": "'label' has 40 values in 40 rows, too many for classes; name another by --label",
    "lists.parquet": "column 'label' should be integer, truth value or text, is list",
    "gaps.parquet": r"'label' is empty \(fill it in, or leave the row out\) in 10 of 40 rows, .* at rows \[2\]",
    "cut.parquet": "cut.parquet: is not a whole parquet file",
}


@pytest.mark.parametrize("name", TABLES)
def test_what_no_suite_could_read_is_said_as_the_workflow_says_it(name):
    content = TABLES[name]
    if content is None:
        Path(name).mkdir()
        Path(name, "train.csv").write_text("text,label\n" + "a,x\nb,y\n" * 10)
        Path(name, "test.csv").write_text("text\na\n")
    elif isinstance(content, bytes):
        Path(name).write_bytes(content)
    else:
        content.to_parquet(name)
    with pytest.raises(ValueError, match=SAID[name]):
        init("mine", data=name)
    assert not Path("workflow/suites/mine.yaml").exists()


def test_a_name_that_is_taken_or_no_name_is_refused():
    refused = {"smoke": "is there already", "My suite": "small letters, .* such as my_suite", "sst2": "sst2 is taken"}
    for name, said in (refused | {"published": "published is taken", "a" * 65: "at most 64"}).items():
        with pytest.raises(ValueError, match=said):
            init(name)


def test_a_tsv_with_quotation_marks_is_counted_as_it_is_prepared(tmp_path):
    lines = [f"text {i}\t{('bad', 'good')[i % 2]}" for i in range(30)]
    lines[4], lines[9] = '"Great value\tbad', 'never again"\tgood'
    (tmp_path / "mine.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    assert inspect_data.local(Path("mine.tsv"), tmp_path, text=[], label=None).rows == {"all": 30}


def test_class_names_are_composed(tmp_path):
    names = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"t {i},{[*names, 'thé'][i % 3]}\n" for i in range(30)))
    found = inspect_data.local(Path("mine.csv"), tmp_path, text=[], label=None)
    assert (found.classes, found.answers) == (["café", "thé"], None)
