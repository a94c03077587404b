"""What people's files are like: tsv without quoting, phone photos, names from a Mac, categories, the same row twice."""

import decimal
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_own_tasks import of_images, pictures, spec, table

from frod.tasks import arrays, images
from frod.tasks.prepare import opened

NAMES = ["bête", "café"]


def read(task):
    with opened(task, seed=0) as source:
        part = source.splits["all"]
        return list(part.inputs), part.labels.tolist()


def test_quotation_marks_mean_nothing_in_a_tsv(tmp_path):
    table(tmp_path / "mine.tsv", separator="\t")
    lines = (tmp_path / "mine.tsv").read_text().splitlines()
    lines[5], lines[10] = '"Great value\tbad\tx', 'never again"\tgood\tx'
    (tmp_path / "mine.tsv").write_text("\n".join(lines) + "\n")
    texts, labels = read(spec(tmp_path / "mine.tsv"))
    assert len(texts) == len(labels) == 20
    assert (texts[4], texts[9]) == ('"Great value', 'never again"')


def test_a_tab_in_a_tsv_has_its_own_remedy(tmp_path):
    (tmp_path / "mine.tsv").write_text('text\tlabel\n"a\tb"\tgood\n')
    with pytest.raises(ValueError, match="line 2 has 3 cells, the first line 2; quotes mean nothing in a tsv"):
        read(spec(tmp_path / "mine.tsv"))


def test_a_text_of_several_lines_is_said(tmp_path, capsys):
    rows = [f"text {i},{('bad', 'good')[i % 2]}" for i in range(20)]
    rows[4:8] = ['"Great value,bad', "one,good", "two,bad", 'never again",good']
    (tmp_path / "mine.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    texts, _ = read(spec(tmp_path / "mine.csv"))
    assert len(texts) == 17
    assert "21 lines, 17 examples; a text in quotes goes over 4 lines from line 6 on" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_as_viewers_show_it(tmp_path, image_facts, orientation):
    """The eight orientations of EXIF: what is stored is turned back."""
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    shown = np.arange(64, dtype=np.uint8).reshape(8, 8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored[orientation](shown))).save(tmp_path / "photo.png", exif=exif)
    out = np.empty((1, 8, 8, 1), np.uint8)
    images.encode([tmp_path / "photo.png"], image_facts | {"size": [8, 8], "channels": 1, "resize": None}, out)
    np.testing.assert_array_equal(out[0, :, :, 0], shown)


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_names_with_accents_are_the_same_however_they_are_composed(tmp_path, written, named):
    classes = [unicodedata.normalize(named, name) for name in NAMES]
    labels = [unicodedata.normalize(written, name) for name in NAMES]
    table(tmp_path / "mine.csv", labels=labels)
    pictures(tmp_path / "mine", count=10, classes=labels)
    for task in (
        spec(tmp_path / "mine.csv", classes=classes),
        spec(tmp_path / "mine.csv", classes=["a", "b"], answers=classes),
    ):
        assert read(task)[1] == [0, 1] * 10
    task = of_images(tmp_path / "mine", classes=classes)
    assert read(task)[1] == [0] * 10 + [1] * 10
    assert task.classes == NAMES


def test_two_folders_of_one_name_are_named(tmp_path):
    for form in ("NFC", "NFD"):
        pictures(tmp_path, classes=[unicodedata.normalize(form, name) for name in NAMES])
    with pytest.raises(ValueError, match=r"'bête', 'café'.* two folders of this name"):
        read(of_images(tmp_path, classes=NAMES))


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (["bad", "good"], pa.dictionary(pa.int32(), pa.string())),
        (["bad", "good"], pa.string_view()),
        ([0, 1], pa.dictionary(pa.int8(), pa.int64())),
        ([decimal.Decimal("0.00"), decimal.Decimal("1.00")], pa.decimal128(5, 2)),
    ],
    ids=str,
)
def test_columns_of_a_parquet_file_are_read_in_every_form(tmp_path, label, kind):
    texts = pa.array([f"text {i}" for i in range(20)])
    columns = {"label": pa.array(label * 10, kind)}
    for name, form in (("text", pa.string_view()), ("more", pa.dictionary(pa.int32(), pa.string()))):
        columns[name] = texts.cast(pa.string()).dictionary_encode() if name == "more" else texts.cast(form)
    pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    task = spec(tmp_path / "mine.parquet", columns={"text": ["text", "more"], "label": "label"})
    inputs, labels = read(task)
    assert labels == [0, 1] * 10
    assert inputs[3] == ("text 3", "text 3")


def test_a_regression_reads_decimals(tmp_path):
    numbers = [decimal.Decimal(i).scaleb(-1) for i in range(20)]
    pq.write_table(pa.table({"text": [f"t {i}" for i in range(20)], "label": numbers}), tmp_path / "mine.parquet")
    task = spec(tmp_path / "mine.parquet", problem="regression", classes=None, range=[0, 2], metrics=["pearson"])
    np.testing.assert_allclose(read(task)[1], np.arange(20) / 10, rtol=1e-6)


@pytest.fixture
def repeated(tmp_path):
    """Two files: all.csv has its rows twice, test.csv has the first ten of them."""
    rows = [f"text {i},{('bad', 'good')[i % 2]}\n" for i in range(40)]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "all.csv").write_text("text,label\n" + "".join(rows * 2))
    (tmp_path / "mine" / "test.csv").write_text("text,label\n" + "".join(rows[:10]))


DRAWN = {part: {"from": "all", "rows": 10} for part in ("validation", "test")}
OWN = {"validation": {"from": "all", "rows": 10}, "test": {"from": "test"}}


@pytest.mark.usefixtures("repeated")
@pytest.mark.parametrize(
    ("splits", "rule", "expected"),
    [
        (DRAWN, None, {"test in train": 0, "validation in train": 0}),
        (DRAWN, "keep", {"left_out": 0}),
        (OWN, None, {"validation in train": 0}),
        (OWN, "drop", {"test in train": 0, "validation in train": 0}),
        (OWN, "keep", {"left_out": 0, "test in train": 10}),
    ],
)
def test_an_example_in_two_splits_is_left_out_of_train_or_counted(tmp_path, prepared, capsys, splits, rule, expected):
    manifest = arrays.load_manifest(prepared(spec(tmp_path / "mine", duplicates=rule, **splits)))
    left_out = manifest["duplicates"]["left_out"]
    found = {"left_out": left_out, "test in train": 0, "validation in train": 0} | manifest["duplicates"]["shared"]
    assert expected.items() <= found.items()
    assert (left_out > 0) == (rule != "keep")
    rows = {split: part["rows"] for split, part in manifest["splits"].items()}
    drawn = sum(rows[split] for split in ("validation", "test") if splits[split]["from"] == "all")
    assert rows["train"] == 80 - drawn - left_out
    said = capsys.readouterr().err
    assert ("examples of train stand in another split, too; left out" in said) == (left_out > 0)
    assert ("the same example in two splits, kept" in said) == bool(manifest["duplicates"]["shared"])


@pytest.mark.usefixtures("repeated")
def test_duplicates_may_be_an_error(tmp_path, prepared):
    with pytest.raises(ValueError, match=r"task mine: .*\d+ of test in train.* \(duplicates: error\)"):
        prepared(spec(tmp_path / "mine", duplicates="error", **DRAWN))
    with pytest.raises(ValueError, match="every example of train stands in test or validation"):
        (tmp_path / "mine" / "all.csv").write_text("text,label\n" + "same 0,bad\nsame 1,good\n" * 20)
        prepared(spec(tmp_path / "mine", **DRAWN))
