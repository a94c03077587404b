"""A table that cannot be what its task says ends in one line with file, rows, values and remedy; else values are kept.

The lines are written down here by hand, from what a user has to know; what is taken is compared with what was written.
"""

import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_data import CLASSES, Lengths, entry, odd, prepared, rows

from frod.tasks import arrays, sentences
from frod.tasks.examples import Examples
from frod.tasks.prepare import divide, opened

WITH_IDS = {"columns": {"text": ["text"], "label": "label", "id": "n"}}
REAL = {"problem": "regression", "classes": None, "range": [-1, 1], "metrics": ["pearson"]}


def numbered(number, count=20):
    return "text,label,n\n" + "".join(f"text {i},{CLASSES[i % 2]},{number(i)}\n" for i in range(count))


def number(i):
    return i % 2


def share(i):
    return i / 20


FAULTS = {
    "no rows": (b"text,label\n", {}, r"{path}: the split is empty"),
    "binary": (bytes(range(256)) * 8, {}, r"{path}: is not text in UTF-8 .*; save it as such"),
    "latin-1": (rows(odd("été", str)).encode("latin-1"), {}, r"{path}: is not text in UTF-8"),
    "utf-16": (rows().encode("utf-16"), {}, r"{path}: is not text in UTF-8"),
    "ragged": (rows().encode() + b"a,b,c\n", {}, r"{path}: line 22 has 3 cells, the first line 2"),
    "two columns of a name": (
        b"text,label,text\na,bad,b\n",
        {},
        r"{path}: 2 columns are called 'text'; rename all but one",
    ),
    "blank text": (rows(odd("   ", str)), {}, r"{path}: column 'text' is blank in 1 of 20 rows, .* at rows \[3\]"),
    "empty text": (rows(odd("", str)), {}, r"{path}: column 'text' is empty in 1 of 20 rows, .* at rows \[3\]"),
    "nan among numbers": (
        rows(label=odd("nan", number)),
        {},
        r"'label' is no integer .* in 1 of 20 rows, such as \['nan'\] at rows \[3\] \(counted from 0\)",
    ),
    "a number among words": (
        rows(label=odd("1", lambda i: CLASSES[i % 2])),
        {},
        r"'label' is none of \['bad', 'good'\] in 1 of 20 rows, such as \['1'\] at rows \[3\]",
    ),
    "a class too many": (rows(label=odd(2, number)), {}, r"1 of 20 labels are none of the 2 classes, such as \[2\]"),
    "a fraction": (rows(label=odd("0.5", number)), {}, r"'label' is no integer .* such as \['0.5'\] at rows \[3\]"),
    "an enormous label": (rows(label=odd(10**30, number)), {}, r"'label' is no integer .* 1 of 20 .*\['10{{30}}'\]"),
    "an enormous power": (rows(label=odd("1e999999", number)), {}, r"'label' is no integer .*\['1e999999'\]"),
    "a label of 10 MB": (
        rows(label=odd("x" * 10**7, lambda i: CLASSES[i % 2])),
        {},
        r"\['x{{20,40}}\.\.\.x{{20,40}}'\] at rows \[3\]",
    ),
    "enormous ids": (numbered(lambda i: 10**25 + i), WITH_IDS, r"'n' is no integer in 20 of 20 rows"),
    "inf": (
        rows(label=odd("inf", share)),
        REAL,
        r"'label' is no number in 1 of 20 rows, such as \['inf'\] at rows \[3\]",
    ),
    "beyond float32": (rows(label=odd("1e300", share)), REAL, r"'label' is no number in 1 of 20 .*\['1e300'\]"),
    "no spread": (rows(label=lambda i: 0.5), REAL, "all 20 labels are 0.5; no correlation is defined"),
    "one class": (rows(label=lambda i: "bad"), {}, "all 20 labels are 'bad'; .* give the others more examples"),
    "one example of a class": (
        rows(label=odd("good", lambda i: "bad")),
        {},
        r"split test of task mine: all 6 labels are 'bad'; .* or draw more `rows`",
    ),
}


@pytest.mark.parametrize(("content", "changes", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_a_csv_is_one_line(tmp_path, content, changes, words):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words.format(path=path)) as caught:
        prepared(entry(path, **changes), tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert not (tmp_path / "prepared").exists()  # nothing half-made is left


TAKEN = {
    "floats without a fraction": (rows(label=lambda i: f"{i % 2}.0"), [0, 1]),
    "a mark of the byte order": ("\ufeff" + rows(), [0, 1]),
    "the line ends of Windows": (rows().replace("\n", "\r\n"), [0, 1]),
    "two columns of a name, neither used": ("text,label,x,x\n" + "a,bad,1,2\nb,good,3,4\n" * 10, [0, 1]),
}


@pytest.mark.parametrize(("content", "labels"), TAKEN.values(), ids=TAKEN)
def test_what_has_one_meaning_is_taken(tmp_path, content, labels):
    (tmp_path / "mine.csv").write_bytes(content.encode())
    with opened(entry(tmp_path / "mine.csv"), seed=0) as source:
        assert source.splits["all"].labels.tolist() == labels * 10


def test_ids_above_two_to_the_53_stay_what_they_are(tmp_path):
    """A float in between would make one of two neighbours, and the draw would depend on the difference."""
    (tmp_path / "mine.csv").write_text(numbered(lambda i: 2**60 + i))
    with opened(entry(tmp_path / "mine.csv", **WITH_IDS), seed=0) as source:
        assert source.splits["all"].ids.tolist() == [2**60 + i for i in range(20)]


TEXTS = [f"text {i}" for i in range(20)]
WORDS = [CLASSES[i % 2] for i in range(20)]
BEYOND = pa.array([2**63 + i for i in range(20)], pa.uint64())
NOT_UTF8 = pa.Array.from_buffers(pa.string(), 20, [None, pa.array(TEXTS).buffers()[1], pa.py_buffer(b"\xff" * 200)])
OF_PARQUET = {
    "no rows": (pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), {}, "is empty"),
    "a null": (pa.table({"text": [None, *TEXTS[1:]], "label": WORDS}), {}, r"'text' is empty in 1 of 20 .* \[0\]"),
    "blank": (pa.table({"text": ["", *TEXTS[1:]], "label": WORDS}), {}, r"'text' is blank in 1 of 20 .* \[0\]"),
    "not UTF-8": (pa.table({"text": NOT_UTF8, "label": WORDS}), {}, "'text' cannot be read .*UTF8.*; write the file"),
    "nan": (pa.table({"text": TEXTS, "label": [float("nan"), *[0.0, 1.0] * 9, 1.0]}), {}, r"no integer .*\[nan\]"),
    "beyond int64": (pa.table({"text": TEXTS, "label": WORDS, "n": BEYOND}), WITH_IDS, "'n' is no integer in 20 of 20"),
    "two columns of a name": (
        pa.Table.from_arrays([pa.array(TEXTS), pa.array(WORDS), pa.array(TEXTS)], names=["text", "label", "text"]),
        {},
        "2 columns are called 'text'; rename all but one",
    ),
    "dates": (
        pa.table({"text": TEXTS, "label": pa.array([0] * 20, pa.timestamp("s"))}),
        {},
        "'label' should be .*, is",
    ),
}


@pytest.mark.parametrize(("table", "changes", "words"), OF_PARQUET.values(), ids=OF_PARQUET)
def test_a_fault_of_a_parquet_file_is_one_line(tmp_path, table, changes, words):
    pq.write_table(table, tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match=f"{tmp_path}/mine.parquet: .*{words}"):
        prepared(entry(tmp_path / "mine.parquet", **changes), tmp_path)


def test_an_altered_parquet_file_is_never_a_traceback(tmp_path):
    """Wherever a byte is changed, the whole is refused in a line that names it, or read."""
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"text": TEXTS, "label": WORDS}), path)
    good = path.read_bytes()
    refused = 0
    for at in range(0, len(good), max(1, len(good) // 40)):
        damaged = bytearray(good)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            prepared(entry(path), tmp_path)
        except ValueError as error:
            assert "mine.parquet" in str(error)
            refused += 1
    assert refused > 10


def test_a_class_that_train_lacks_is_named(tmp_path):
    """A model could not learn it; whoever drew these splits wants to know."""
    text = rows(label=lambda i: "abc"[i % 2])
    for name, content in (("train", text), ("test", text + "odd,c\n")):
        (tmp_path / f"{name}.csv").write_text(content)
    task = entry(
        tmp_path,
        classes=["a", "b", "c"],
        train={"from": "train"},
        validation={"from": "train", "rows": 4},
        test={"from": "test"},
    )
    with pytest.raises(ValueError, match=r"test of task mine: 1 of 21 labels are 'c', of which train has no example; "):
        prepared(task, tmp_path)


def test_a_class_of_the_task_that_train_lacks_is_named(tmp_path):
    """As much as one of another split; a letter of a choice is no class, but a place among the answers."""
    (tmp_path / "mine.csv").write_text(rows())
    with pytest.raises(ValueError, match=r"train of task mine has no example of \['c'\]; give them some, or take"):
        prepared(entry(tmp_path / "mine.csv", classes=[*CLASSES, "c"]), tmp_path)


def test_a_class_of_one_example_goes_where_the_largest_remainder_is(tmp_path):
    (tmp_path / "mine.csv").write_text(rows(label=odd("c", lambda i: CLASSES[i % 2]), count=21))
    task = entry(tmp_path / "mine.csv", classes=[*CLASSES, "c"])
    with opened(task, seed=0) as source:
        parts = divide(task, source, seed=0)
    assert isinstance(parts["train"], Examples)
    assert {split: int((part.labels == 2).sum()) for split, part in parts.items()} == {
        "test": 0,
        "validation": 0,
        "train": 1,
    }


def test_a_sentence_of_10_mb_costs_what_its_beginning_costs(tmp_path):
    """Tokenised whole it took a real tokenizer 20 s and 1.3 GB."""
    long = "word " * 2_000_000
    (tmp_path / "mine.csv").write_text(rows(odd(long, lambda i: f"text {i}")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    manifest = prepared(entry(tmp_path / "mine.csv"), tmp_path)
    assert sum(manifest["truncated"].values()) == 1
    split = next(name for name, cut in manifest["truncated"].items() if cut)
    tokens = arrays.load_split(tmp_path / "prepared", split).arrays["tokens"]
    assert (np.asarray(tokens) == 4).sum() >= 8  # the first words of it
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024  # of the reading, not of tokens


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_part_of_a_long_text_has_the_tokens_of_the_whole(side, monkeypatch):
    generator = np.random.default_rng(0)
    texts = [" ".join("x" * n for n in generator.integers(1, 9, 3000)), "short", " " * 9000 + "few words " + " " * 9000]
    if side == "left":
        monkeypatch.setattr(Lengths, "__call__", _keeping_the_end)
    part = sentences.encode(texts, Lengths(), 8, side=side)
    monkeypatch.setattr(sentences, "LONG", 10**9)
    whole = sentences.encode(texts, Lengths(), 8, side=side)
    assert part[0].tolist() == whole[0].tolist() and part[1].tolist() == whole[1].tolist() and part[2] == whole[2] == 1


def _keeping_the_end(self, *parts, truncation=False, max_length=None, **_):
    rows = [[len(word) for text in texts for word in text.split()] for texts in zip(*parts, strict=True)]
    return {"input_ids": [row[-max_length:] if truncation else row for row in rows]}
