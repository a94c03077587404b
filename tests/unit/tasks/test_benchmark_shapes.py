"""Each shape that a benchmark has on the Hub, in small: the label names the answer that is right, whatever its form."""

import numpy as np
import pyarrow as pa
import pytest
from small_sources import write

from frod.tasks import arrays, registry
from frod.tasks.choices import texts
from frod.tasks.prepare import divide, opened, prepare
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
    (a, b, c), place = answers(i, 3)
    return {
        "context": f"c {i}",
        "question": "q?",
        "answerA": a,
        "answerB": b,
        "answerC": c,
        "label": str(place + 1),
    }


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
    return {
        "id": f"Mercury_{i}",
        "question": f"q {i}?",
        "choices": {"text": found, "label": list(keys)},
        "answerKey": keys[place],
    }


def openbookqa(i):
    found, place = answers(i, 4)
    return {
        "question_stem": f"q {i}",
        "choices": {"text": found, "label": list("ABCD")},
        "answerKey": "ABCD"[place],
    }


WITH_ANSWERS = {
    "piqa": piqa,
    "siqa": siqa,
    "hellaswag": hellaswag,
    "winogrande": winogrande,
    "arc_easy": arc,
    "openbookqa": openbookqa,
}


def small(name, mirror, row, rows=ROWS):
    """The registry's entry, for splits of `rows` rows each, and the splits themselves in a mirror."""
    entry = registry.load()[name].model_dump(mode="json", exclude_unset=True)
    entry["rows"] = {split: {"rows": rows} for split in entry["rows"]}
    if "rows" in entry["validation"]:
        entry["validation"]["rows"] = 6
    task = TaskSpec.model_validate(entry)
    for split in task.rows:
        pattern = mirror / "datasets" / task.source.id / task.source.pattern(split)
        columns = {key: [row(i)[key] for i in range(rows)] for key in row(0)}
        write(pattern.parent, columns, pattern.name.replace("*", "00000-of-00001"))
    return task


@pytest.mark.parametrize(("name", "row"), WITH_ANSWERS.items(), ids=WITH_ANSWERS)
def test_the_label_names_the_right_answer_and_the_prompt_shows_it(tmp_path, name, row):
    task = small(name, tmp_path, row)
    with opened(task, seed=0, mirror=tmp_path) as source:
        parts = divide(task, source, seed=0)
        assert len(parts["test"]) == ROWS
        for part in parts.values():
            for question, label, text in zip(part.inputs, part.labels, texts(part.inputs, task.prompt), strict=True):
                assert question.choices[label] == "right"
                assert f"\n{'ABCDE'[label]}. right\n" in text and text.endswith("Answer:")
                assert all(value in text for value in question.parts.values())


def test_of_arc_nothing_is_dropped(tmp_path):
    task = small("arc_easy", tmp_path, arc)
    with opened(task, seed=0, mirror=tmp_path) as source:
        counts = [len(question.choices) for question in source.splits["train"].inputs]
    assert sorted(set(counts)) == [3, 4, 5] and len(counts) == ROWS


def test_a_key_that_is_no_label_is_named(tmp_path):
    task = small("arc_easy", tmp_path, lambda i: arc(i) | ({"answerKey": "F"} if i == 7 else {}))
    with (
        pytest.raises(ValueError, match=r"'answerKey' is none of the labels .* in 1 of 30 .*\['F'\] at rows \[7\]"),
        opened(task, seed=0, mirror=tmp_path),
    ):
        pass


def test_more_answers_than_letters_is_named(tmp_path):
    task = small(
        "openbookqa", tmp_path, lambda i: openbookqa(i) if i != 9 else {**openbookqa(9), "choices": arc(2)["choices"]}
    )
    with (
        pytest.raises(ValueError, match=r"'choices' has more answers than the 4 classes A, B, C, D in 1 .* rows \[9\]"),
        opened(task, seed=0, mirror=tmp_path),
    ):
        pass


def test_a_label_beyond_the_answers_is_named(tmp_path):
    task = small("hellaswag", tmp_path, lambda i: hellaswag(i) | ({"endings": ["a", "b"]} if i == 3 else {}))
    with (
        pytest.raises(ValueError, match=r"'label' names none of the answers in 1 .*\[3\] at rows \[3\]"),
        opened(task, seed=0, mirror=tmp_path),
    ):
        pass


@pytest.mark.parametrize("gap", [{"endings": ["a", None, "c", "d"]}, {"endings": None}, {"ctx": None}])
def test_a_gap_in_a_question_is_named(tmp_path, gap):
    task = small("hellaswag", tmp_path, lambda i: hellaswag(i) | (gap if i == 3 else {}))
    with (
        pytest.raises(ValueError, match=r"empty.* in 1 of 30 rows, such as .* at rows \[3\]"),
        opened(task, seed=0, mirror=tmp_path),
    ):
        pass


def test_an_answer_not_among_those_of_the_registry_is_named(tmp_path):
    task = small("winogrande", tmp_path, lambda i: winogrande(i) | ({"answer": ""} if i == 4 else {}))
    with (
        pytest.raises(ValueError, match=r"'answer' is none of \['1', '2'\] in 1 of 30 .*\[''\] at rows \[4\]"),
        opened(task, seed=0, mirror=tmp_path),
    ):
        pass


def test_boolq_is_answered_by_no_or_yes(tmp_path):
    task = small("boolq", tmp_path, lambda i: {"passage": f"p {i}", "question": "is it", "answer": i % 2 == 0})
    with opened(task, seed=0, mirror=tmp_path) as source:
        train = source.splits["train"]
        for i, (question, label) in enumerate(zip(train.inputs, train.labels, strict=True)):
            assert question.choices[label] == ("yes" if i % 2 == 0 else "no")
        assert "\nA. no\nB. yes\n" in texts(train.inputs[:1], task.prompt)[0]


def stsb(i):
    return {"sentence1": "a", "sentence2": f"b {i}", "label": i / 6, "idx": i}


def test_real_labels_are_float32_and_drawn_without_strata(tmp_path, text_facts, tokenizer):
    task = small("stsb", tmp_path, stsb)
    manifest = prepare(
        "stsb",
        task,
        backbone="b",
        input_facts=text_facts,
        tokenizer=tokenizer,
        out=tmp_path / "out",
        seed=0,
        max_train=10,
        mirror=tmp_path,
    )
    assert (manifest["problem"], manifest["num_classes"], manifest["class_names"]) == ("regression", 1, [])
    for name, rows in (("train", 10), ("validation", 6), ("test", ROWS)):
        split = arrays.load_split(tmp_path / "out", name)
        assert len(split) == rows and split.labels.dtype == np.float32
        np.testing.assert_allclose(split.labels, split.ids / 6, rtol=1e-6)


@pytest.mark.parametrize(
    ("label", "words"),
    [(5.5, r"1 of 30 labels lie outside the range 0 to 5, such as \[5.5\]"), (float("nan"), "is no number in 1 of 30")],
)
def test_a_real_label_outside_the_range_is_an_error(tmp_path, label, words):
    task = small("stsb", tmp_path, lambda i: stsb(i) | ({"label": label} if i == 2 else {}))
    with pytest.raises(ValueError, match=words), opened(task, seed=0, mirror=tmp_path):
        pass


def test_mnli_reports_on_both_of_its_tests(tmp_path, text_facts, tokenizer):
    task = small("mnli", tmp_path, lambda i: {"premise": "a", "hypothesis": "b", "label": i % 3, "idx": i})
    for protocol in ("audited", "released"):
        out = tmp_path / protocol
        manifest = prepare(
            "mnli",
            task,
            backbone="b",
            input_facts=text_facts,
            tokenizer=tokenizer,
            out=out,
            seed=0,
            mirror=tmp_path,
            protocol=protocol,
        )
        assert set(manifest["splits"]) == {"train", "validation", "test", "test_mismatched"}
        assert len(arrays.load_split(out, "test_mismatched")) == manifest["splits"]["test_mismatched"]["rows"] == ROWS
        arrays.load_manifest(out)  # every file has its digest


def test_the_released_protocol_evaluates_arc_where_the_scripts_do(tmp_path, text_facts, tokenizer):
    task = small("arc_challenge", tmp_path, arc)
    path = tmp_path / "datasets" / task.source.id / "ARC-Challenge"
    (path / "test-00000-of-00001.parquet").unlink()  # not looked at
    arguments = {"backbone": "b", "input_facts": text_facts, "tokenizer": tokenizer, "seed": 0, "mirror": tmp_path}
    manifest = prepare("arc", task, out=tmp_path / "out", protocol="released", **arguments)
    assert list(manifest["source"]["files"]) == [
        "ARC-Challenge/train-00000-of-00001.parquet",
        "ARC-Challenge/validation-00000-of-00001.parquet",
    ]
    test, validation = (arrays.load_split(tmp_path / "out", name) for name in ("test", "validation"))
    assert test.ids.tolist() == validation.ids.tolist() == list(range(ROWS))
    assert len(arrays.load_split(tmp_path / "out", "train")) == ROWS
    with pytest.raises(ValueError, match="no file ARC-Challenge/test-"):
        prepare("arc", task, out=tmp_path / "out", protocol="audited", **arguments)


def test_integers_of_another_width_in_another_shard_are_read(tmp_path):
    task = small("piqa", tmp_path, piqa)
    folder = tmp_path / "datasets" / task.source.id
    table = {key: [piqa(i)[key] for i in range(ROWS)] for key in piqa(0)}
    write(folder, table | {"label": pa.array(table["label"], pa.int8())}, "piqa_train.parquet")
    with opened(task, seed=0, mirror=tmp_path) as source:
        assert source.splits["train"].labels.tolist() == table["label"]
