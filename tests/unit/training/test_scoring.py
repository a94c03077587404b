"""Choice by likelihood: a score is what transformers' own model gives an answer, one at a time and unpadded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import frod
from frod import backbones
from frod.evaluation.metrics import NO_ANSWER
from frod.tasks import arrays, prepare, registry
from frod.training.scoring import log_likelihoods

MICRO = Path(frod.__file__).parent / "backbones" / "shipped" / "micro_llama"
FACTS = {"kind": "text", "max_length": 32, "pad_token_id": 0}
ROWS = ["question,a,b,c,right", "1 + 2 =,3,4 + 1,5,0", "3 + 4 = 7 7 + 2 =,8 = 8,9,10,1", "0 + 5 =,4,5,6 + 6 = 12,1"]
CSV = "\n".join([ROWS[0], *(ROWS[1 + i % 3] for i in range(24))]) + "\n"


def spec(path, **changes):
    entry = {
        "title": "Mine",
        "kind": "choices",
        "scoring": "likelihood",
        "source": {"path": str(path)},
        "licence": "mine",
        "columns": {"text": ["question"], "choices": ["a", "b", "c"], "label": "right"},
        "classes": ["A", "B", "C"],
        "duplicates": "keep",
        "train": {"from": "all"},
        "validation": {"from": "all", "rows": 6},
        "test": {"from": "all", "rows": 6},
        "metrics": ["accuracy", "accuracy_norm"],
    }
    return registry.TaskSpec.model_validate(entry | changes)


@pytest.fixture
def prepared(tmp_path):
    (tmp_path / "mine.csv").write_text(CSV)
    task, tokenizer = spec(tmp_path / "mine.csv"), AutoTokenizer.from_pretrained(MICRO)
    prepare.prepare("mine", task, backbone="b", input_facts=FACTS, tokenizer=tokenizer, out=tmp_path / "out", seed=0)
    return tmp_path / "out"


def by_hand(question, answer):
    """Sum over the answer's tokens of log_softmax of transformers' logits."""
    tokenizer, model = AutoTokenizer.from_pretrained(MICRO), AutoModelForCausalLM.from_pretrained(MICRO).eval()
    given = len(tokenizer(question)["input_ids"])
    ids = torch.tensor([tokenizer(f"{question} {answer}")["input_ids"]])
    with torch.no_grad():
        logs = model(input_ids=ids).logits[0].log_softmax(-1)
    return sum(logs[at - 1, ids[0, at]].item() for at in range(given, ids.shape[1]))


def test_scores_are_transformers_own_of_one_answer_at_a_time(prepared):
    data, model = arrays.load_split(prepared, "test"), backbones.load(MICRO, num_classes=None, seed=0)
    with torch.no_grad():
        found = log_likelihoods(model, data, np.arange(len(data)), torch.device("cpu"))
    rows = [line.split(",") for line in CSV.splitlines()[1:]]
    expected = [[by_hand(rows[i][0], answer) for answer in rows[i][1:4]] for i in data.ids]
    assert found.numpy() == pytest.approx(np.array(expected), rel=1e-5)
    assert data.bytes.tolist() == [[len(answer) for answer in rows[i][1:4]] for i in data.ids]


def test_a_training_batch_is_the_right_answers_with_their_tokens_as_labels(prepared):
    """What is to be told is the answer alone: no token of the prompt, none of padding."""
    data, tokenizer = arrays.load_split(prepared, "train"), AutoTokenizer.from_pretrained(MICRO)
    batch = data.batch(np.arange(len(data)))
    rows = [line.split(",") for line in CSV.splitlines()[1:]]
    told = [tokenizer.decode(labels[labels != arrays.IGNORED]) for labels in batch["labels"]]
    assert told == [rows[i][1 + int(rows[i][4])] for i in data.ids]
    assert data.answer_tokens(np.arange(len(data))) == int((batch["labels"] != arrays.IGNORED).sum())


def test_questions_of_fewer_answers_never_choose_one_that_is_not_there(tmp_path):
    """As in ARC: lists of three or of four."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "question": [f"{i} + 1 =" for i in range(20)],
            "options": [[str(i + 1), "2", "3", "4"][: 3 + i % 2] for i in range(20)],
            "right": [i % 3 for i in range(20)],
        }
    )
    table.to_parquet(tmp_path / "mine.parquet")
    task = spec(
        tmp_path / "mine.parquet",
        columns={"text": ["question"], "choices": "options", "label": "right"},
        classes=["A", "B", "C", "D"],
    )
    out, tokenizer = tmp_path / "out", AutoTokenizer.from_pretrained(MICRO)
    prepare.prepare("mine", task, backbone="b", input_facts=FACTS, tokenizer=tokenizer, out=out, seed=0)
    data, model = arrays.load_split(out, "train"), backbones.load(MICRO, num_classes=None, seed=0)
    found = log_likelihoods(model, data, np.arange(len(data)), torch.device("cpu")).detach().numpy()
    assert (found[data.ids % 2 == 0, 3] == NO_ANSWER).all() and (found[data.ids % 2 == 1, 3] > -1000).all()
    assert (found[:, :3] > -1000).all()


def test_a_prompt_that_is_too_long_is_cut_on_the_left_and_the_answer_stays(tmp_path):
    """The cut row is the end of the whole text."""
    (tmp_path / "mine.csv").write_text(CSV)
    task, tokenizer = spec(tmp_path / "mine.csv"), AutoTokenizer.from_pretrained(MICRO)
    out, facts = tmp_path / "out", FACTS | {"max_length": 6}
    manifest = prepare.prepare("mine", task, backbone="b", input_facts=facts, tokenizer=tokenizer, out=out, seed=0)
    data = arrays.load_split(out, "test")
    rows = [line.split(",") for line in CSV.splitlines()[1:]]
    for number in range(3):
        batch = data.answer(np.arange(len(data)), number)
        for i, ids, mask, labels in zip(data.ids, batch["input_ids"], batch["attention_mask"], batch["labels"]):
            whole = tokenizer(f"{rows[i][0]} {rows[i][1 + number]}")["input_ids"]
            assert ids[mask == 1].tolist()[-5:] == whole[-5:]
            assert tokenizer.decode(labels[labels != arrays.IGNORED]) == rows[i][1 + number]
    assert manifest["truncated"]["test"] == sum(
        max(len(tokenizer(f"{rows[i][0]} {a}")["input_ids"]) for a in rows[i][1:4]) > 6 for i in data.ids
    )


def test_an_answer_that_leaves_no_room_or_is_blank_is_refused(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    prepared = {"backbone": "b", "tokenizer": tokenizer, "out": tmp_path / "out", "seed": 0}
    (tmp_path / "mine.csv").write_text(CSV)
    task = spec(tmp_path / "mine.csv")
    with pytest.raises(ValueError, match=r"an answer of row \d+ has 5 tokens, the backbone takes 4 with its prompt"):
        prepare.prepare("mine", task, input_facts=FACTS | {"max_length": 4}, **prepared)
    (tmp_path / "mine.csv").write_text(CSV.replace("5,0", '" ",0'))
    with pytest.raises(ValueError, match=r"column 'c' has a blank answer, which has no likelihood, in 8 of 24 rows"):
        prepare.prepare("mine", task, input_facts=FACTS, **prepared)


def test_where_the_right_answers_stand_does_not_matter(tmp_path):
    """Train has its right answers in two places, test in the third, validation all in one: the model sees no places."""
    head, *rows = ROWS
    for split, places in {"train": "01", "validation": "00", "test": "22"}.items():
        lines = [head, *(row[:-1] + place for row, place in zip(rows, places))]
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    splits = {split: {"from": split} for split in ("train", "validation", "test")}
    facts = {"backbone": "b", "input_facts": FACTS, "tokenizer": AutoTokenizer.from_pretrained(MICRO), "seed": 0}
    out = tmp_path / "out"
    prepare.prepare("mine", spec(tmp_path, **splits), **facts, out=out)
    assert arrays.load_split(out, "test").labels.tolist() == [2, 2]
    for changes in (
        {"scoring": "classification", "metrics": ["accuracy"]},
        {"metrics": ["matthews_correlation"]},
        {"prompt": "{question} {choices}"},  # shows the places
        {"choices": ["1", "2", "3"], "columns": {"text": ["question"], "label": "right"}},  # makes them the answers
    ):
        with pytest.raises(ValueError, match="all 2 labels are"):
            prepare.prepare("mine", spec(tmp_path, **splits, **changes), **facts, out=out)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scoring": "classification"}, "accuracy_norm is of likelihoods; say scoring: likelihood"),
        ({"relabel": [0, 1, 0]}, "relabel: a choice by likelihood has none"),
        ({"kind": "sentences", "columns": {"text": ["question"], "label": "right"}}, "scoring: is likelihood, kind is"),
    ],
)
def test_a_field_that_does_not_fit_is_named(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        spec(tmp_path / "mine.csv", **changes)


def test_a_prompt_may_leave_the_choices_out(tmp_path):
    """They are scored one by one; by classification a model would not see them."""
    assert spec(tmp_path / "mine.csv", prompt="Q: {question} A:").prompt
    with pytest.raises(ValueError, match=r"leaves out \['choices'\]"):
        spec(tmp_path / "mine.csv", prompt="Q: {question} A:", scoring="classification", metrics=["accuracy"])
