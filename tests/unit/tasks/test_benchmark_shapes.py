"""Each shape that a benchmark has on the Hub, in small: the label names the answer that is right, whatever its form."""

import numpy as np
import pyarrow as pa
import pytest
from small_sources import write

from frod.tasks import arrays, registry
from frod.tasks.choices import texts
from frod.tasks.prepare import divide, opened
from frod.tasks.registry import TaskSpec

ROWS = 30


def answers(i, count):
    """Answers of example i, `count` of them, and the place of the right one."""
    place = i % count
    return ["right" if k == place else f"wrong {k}" for k in range(count)], place


def piqa(i):
    (one, two), place = answers(i, 2)
    return {"goal": f"g {i}", "sol1": one, "sol2": two, "label": place}


def siqa(i):
    found, place = answers(i, 3)
    question = {"context": f"c {i}", "question": "q?", "label": str(place + 1)}
    return question | dict(zip(("answerA", "answerB", "answerC"), found))


def hellaswag(i):
    endings, place = answers(i, 4)
    return {"ind": i, "ctx": f"A man {i}", "endings": endings, "label": str(place), "split": "train"}


def winogrande(i):
    (one, two), place = answers(i, 2)
    return {"sentence": f"The _ {i}", "option1": one, "option2": two, "answer": str(place + 1)}


def arc(i):
    """Four answers as a rule; three or five in some, and numbers for letters in others."""
    found, place = answers(i, [4, 3, 5, 4][i % 4])
    keys = ("12345" if i % 4 == 3 else "ABCDE")[: len(found)]
    choices = {"text": found, "label": list(keys)}
    return {"id": f"Mercury_{i}", "question": f"q {i}?", "choices": choices, "answerKey": keys[place]}


def openbookqa(i):
    found, place = answers(i, 4)
    return {"question_stem": f"q {i}", "choices": {"text": found, "label": list("ABCD")}, "answerKey": "ABCD"[place]}


def stsb(i):
    return {"sentence1": "a", "sentence2": f"b {i}", "label": i / 6, "idx": i}


WITH_ANSWERS = {
    "piqa": piqa,
    "siqa": siqa,
    "hellaswag": hellaswag,
    "winogrande": winogrande,
    "arc_easy": arc,
    "openbookqa": openbookqa,
}


@pytest.fixture
def small(tmp_path):
    """The registry's entry for splits of ROWS rows each, and the splits themselves in a mirror, tmp_path.

    Rows are `row(i)`, with `changes` in the row of number `at`.
    """

    def make(name, row, at=None, changes=None):
        entry = registry.load()[name].model_dump(mode="json", exclude_unset=True)
        entry["rows"] = {split: {"rows": ROWS} for split in entry["rows"]}
        if "rows" in entry["validation"]:
            entry["validation"]["rows"] = 6
        task = TaskSpec.model_validate(entry)
        rows = [row(i) | (changes if i == at else {}) for i in range(ROWS)]
        for split in task.rows:
            pattern = tmp_path / "datasets" / task.source.id / task.source.pattern(split)
            columns = {key: [row[key] for row in rows] for key in rows[0]}
            write(pattern.parent, columns, pattern.name.replace("*", "00000-of-00001"))
        return task

    return make


@pytest.fixture
def source_of(tmp_path):
    """Open a task's source in the mirror."""
    return lambda task: opened(task, seed=0, mirror=tmp_path)


@pytest.mark.parametrize(("name", "row"), WITH_ANSWERS.items(), ids=WITH_ANSWERS)
def test_the_label_names_the_right_answer_and_the_prompt_shows_it(small, source_of, name, row):
    task = small(name, row)
    with source_of(task) as source:
        parts = divide(task, source, seed=0)
        assert len(parts["test"]) == ROWS
        for part in parts.values():
            for question, label, text in zip(part.inputs, part.labels, texts(part.inputs, task.prompt), strict=True):
                assert question.choices[label] == "right"
                assert f"\n{'ABCDE'[label]}. right\n" in text and text.endswith("Answer:")
                assert all(value in text for value in question.parts.values())


def test_of_arc_nothing_is_dropped(small, source_of):
    with source_of(small("arc_easy", arc)) as source:
        counts = [len(question.choices) for question in source.splits["train"].inputs]
    assert sorted(set(counts)) == [3, 4, 5] and len(counts) == ROWS


GAP = r"empty.* in 1 of 30 rows, such as .* at rows \[3\]"
SLIPS = {
    "a key that is no label": (
        ("arc_easy", arc, 7, {"answerKey": "F"}),
        r"'answerKey' is none of the labels .* in 1 of 30 .*\['F'\] at rows \[7\]",
    ),
    "more answers than letters": (
        ("openbookqa", openbookqa, 9, {"choices": arc(2)["choices"]}),
        r"'choices' has more answers than the 4 classes A, B, C, D in 1 .* rows \[9\]",
    ),
    "a label beyond the answers": (
        ("hellaswag", hellaswag, 3, {"endings": ["a", "b"]}),
        r"'label' names none of the answers in 1 .*\[3\] at rows \[3\]",
    ),
    "an answer missing": (("hellaswag", hellaswag, 3, {"endings": ["a", None, "c", "d"]}), GAP),
    "all answers missing": (("hellaswag", hellaswag, 3, {"endings": None}), GAP),
    "the question missing": (("hellaswag", hellaswag, 3, {"ctx": None}), GAP),
    "an answer not among those of the registry": (
        ("winogrande", winogrande, 4, {"answer": ""}),
        r"'answer' is none of \['1', '2'\] in 1 of 30 .*\[''\] at rows \[4\]",
    ),
    "a real label outside the range": (
        ("stsb", stsb, 2, {"label": 5.5}),
        r"1 of 30 labels lie outside the range 0 to 5, such as \[5.5\]",
    ),
    "a real label that is no number": (("stsb", stsb, 2, {"label": float("nan")}), "is no number in 1 of 30"),
}


@pytest.mark.parametrize(("rows", "words"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_named_with_its_row(small, source_of, rows, words):
    with pytest.raises(ValueError, match=words), source_of(small(*rows)):
        pass


def test_boolq_is_answered_by_no_or_yes(small, source_of):
    task = small("boolq", lambda i: {"passage": f"p {i}", "question": "is it", "answer": i % 2 == 0})
    with source_of(task) as source:
        train = source.splits["train"]
        for i, (question, label) in enumerate(zip(train.inputs, train.labels, strict=True)):
            assert question.choices[label] == ("yes" if i % 2 == 0 else "no")
        assert "\nA. no\nB. yes\n" in texts(train.inputs[:1], task.prompt)[0]


def test_real_labels_are_float32_and_drawn_without_strata(small, prepared, tmp_path):
    folder = prepared(small("stsb", stsb), max_train=10, mirror=tmp_path)
    manifest = arrays.load_manifest(folder)
    assert (manifest["problem"], manifest["num_classes"], manifest["class_names"]) == ("regression", 1, [])
    for name, rows in (("train", 10), ("validation", 6), ("test", ROWS)):
        split = arrays.load_split(folder, name)
        assert len(split) == rows and split.labels.dtype == np.float32
        np.testing.assert_allclose(split.labels, split.ids / 6, rtol=1e-6)


@pytest.mark.parametrize("protocol", ["audited", "released"])
def test_mnli_reports_on_both_of_its_tests(small, prepared, tmp_path, protocol):
    task = small("mnli", lambda i: {"premise": f"a {i}", "hypothesis": "b", "label": i % 3, "idx": i})
    folder = prepared(task, mirror=tmp_path, protocol=protocol)
    splits = arrays.load_manifest(folder)["splits"]  # every file has its digest
    assert set(splits) == {"train", "validation", "test", "test_mismatched"}
    assert len(arrays.load_split(folder, "test_mismatched")) == splits["test_mismatched"]["rows"] == ROWS


def test_the_released_protocol_evaluates_arc_where_the_scripts_do(small, prepared, tmp_path):
    task = small("arc_challenge", arc)
    path = tmp_path / "datasets" / task.source.id / "ARC-Challenge"
    (path / "test-00000-of-00001.parquet").unlink()  # not looked at
    folder = prepared(task, mirror=tmp_path, protocol="released")
    files = [f"ARC-Challenge/{split}-00000-of-00001.parquet" for split in ("train", "validation")]
    assert list(arrays.load_manifest(folder)["source"]["files"]) == files
    train, validation, test = (arrays.load_split(folder, name) for name in ("train", "validation", "test"))
    assert test.ids.tolist() == validation.ids.tolist() == list(range(ROWS))
    assert len(train) == ROWS
    with pytest.raises(ValueError, match="no file ARC-Challenge/test-"):
        prepared(task, mirror=tmp_path, protocol="audited")


def test_integers_of_another_width_in_another_shard_are_read(small, source_of, tmp_path):
    task = small("piqa", piqa)
    table = {key: [piqa(i)[key] for i in range(ROWS)] for key in piqa(0)}
    narrow = table | {"label": pa.array(table["label"], pa.int8())}
    write(tmp_path / "datasets" / task.source.id, narrow, "piqa_train.parquet")
    with source_of(task) as source:
        assert source.splits["train"].labels.tolist() == table["label"]
