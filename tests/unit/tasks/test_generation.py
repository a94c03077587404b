"""Kind generation: what is read out of a text, prompts and answers as tokens, and what is refused in one line."""

import re

import numpy as np
import pytest
import torch

from frod import backbones
from frod.backbones import shipped
from frod.evaluation.generated import read_out
from frod.tasks import arrays, generation, registry, worked_sums
from frod.tasks.generation import Exercise
from frod.tasks.prepare import prepare

LLAMA = shipped.FOLDER / "micro_llama"
ROWS = [("1 + 2", "so 3 = 3"), ("4 + 1", "well = 5"), ("0 + 9", "= 8 no = 9"), ("2 + 2", "= 4"), ("1 + 1", "= 2")]


def task(folder, **changes):
    """A task on a table of one's own: the last two rows of ROWS are test and validation."""
    lines = ["question,worked", *(",".join(row) for row in ROWS)]
    (folder / "train.csv").write_text("\n".join(lines[:4]) + "\n")
    for split, line in (("validation", lines[4]), ("test", lines[5])):
        (folder / f"{split}.csv").write_text(f"{lines[0]}\n{line}\n")
    said = {
        "title": "Sums",
        "kind": "generation",
        "source": {"path": str(folder)},
        "licence": "none",
        "columns": {"text": ["question"], "label": "worked"},
        "prompt": "{question} =",
        "read": "= ([0-9]+)",
        "max_new_tokens": 4,
        **{split: {"from": split} for split in ("train", "validation", "test")},
        "metrics": ["exact_match"],
    }
    return registry.TaskSpec.model_validate(said | changes)


def prepared(folder, one, **more):
    """Prepare a task for the micro Llama, whose words are 0 to 46, + and =, and A to D."""
    tokenizer = backbones.tokenizer(LLAMA)
    facts = {"backbone": "micro_llama", "input_facts": backbones.input_facts(LLAMA), "tokenizer": tokenizer} | more
    return prepare("sums_of_mine", one, **facts, out=folder / "out", seed=0)


@pytest.mark.parametrize(
    ("text", "pattern", "answer"),
    [
        ("3 + 4 = 7 7 + 5 = 12", "= ([0-9]+)", "12"),
        ("so #### 1,234\n", r"#### *(-?[0-9.,]+)", "1,234"),
        ("The answer is: 7. The answer is:  8 ", "The answer is: *([0-9]+)", "8"),
        ("a 17 b", "[0-9]+", "17"),
        ("nothing", "= ([0-9]+)", ""),
        ("x", "x|(y)", ""),
    ],
)
def test_the_last_match_is_the_answer(text, pattern, answer):
    assert read_out(text, pattern) == answer


def test_arrays_are_prompt_answer_and_end(tmp_path):
    """Token by token, as the tokenizer's own vocabulary has them; the loss counts the answer and the end alone."""
    manifest = prepared(tmp_path, task(tmp_path))
    assert (manifest["problem"], manifest["read"], manifest["max_new_tokens"]) == ("generation", "= ([0-9]+)", 4)
    split = arrays.load_split(tmp_path / "out", "test")
    assert split.labels.tolist() == ["2"]
    words = backbones.tokenizer(LLAMA).get_vocab()
    expected = [words[word] for word in ("<s>", "1", "+", "1", "=", "=", "2", "<pad>")]
    batch = split.batch(np.array([0]))
    assert batch["input_ids"].tolist() == [expected]
    assert batch["labels"].tolist() == [[arrays.IGNORED] * 5 + expected[5:]]
    assert split.prompts(np.array([0]))["input_ids"].tolist() == [expected[:5]]
    assert split.answer_tokens(np.array([0])) == 3
    assert arrays.head_of(manifest) == {"num_classes": None}


def test_prompts_are_padded_on_the_left(tmp_path):
    """So that the next token of each follows its last one."""
    one = task(tmp_path)
    (tmp_path / "train.csv").write_text("question,worked\n1 + 2 + 3,= 6\n1,= 1\n")
    prepared(tmp_path, one)
    split = arrays.load_split(tmp_path / "out", "train")
    prompts = split.prompts(np.array([0, 1]))
    assert prompts["attention_mask"].tolist() == [[1] * 7, [0] * 4 + [1] * 3]
    assert prompts["input_ids"][1, 4:].tolist() == split.batch(np.array([1]))["input_ids"][0, :3].tolist()


def test_training_answers_may_be_unread_but_none_that_is_evaluated(tmp_path):
    one = task(tmp_path)
    (tmp_path / "train.csv").write_text("question,worked\n1 + 2,nothing\n")
    assert prepared(tmp_path, one)["splits"]["train"]["rows"] == 1
    (tmp_path / "test.csv").write_text("question,worked\n1 + 2,= 3\n1 + 3,four\n")
    with pytest.raises(
        ValueError, match=r"split test of task sums_of_mine: read .* finds no answer in 1 of 2 .* row 1"
    ):
        prepared(tmp_path, one)


def test_a_question_of_test_is_left_out_of_train_whatever_its_answer(tmp_path):
    (tmp_path / "all.csv").write_text("question,worked\n" + "".join(f"{i % 5} + 1,= {i}\n" for i in range(20)))
    one = task(
        tmp_path,
        source={"path": str(tmp_path / "all.csv")},
        train={"from": "all"},
        validation={"from": "all", "rows": 1},
        test={"from": "all", "rows": 1},
    )
    # Five questions, four times each: the two that are drawn take 3 copies along, or 2 where both are the same.
    manifest = prepared(tmp_path, one)
    assert manifest["duplicates"]["left_out"] in (2, 6)


def test_a_long_prompt_is_refused_and_a_long_answer_cut():
    tokenizer = backbones.tokenizer(LLAMA)
    short, long = Exercise({"q": "1 + 1 ="}, "= 2"), Exercise({"q": "1 + 1 ="}, "= 2 = 2 = 2")
    _, offsets, prompts, cut = generation.encode([short, long], tokenizer, 8, prompt=None, split="train")
    assert (offsets.tolist(), prompts.tolist(), cut) == ([0, 8, 16], [5, 5], 1)
    with pytest.raises(ValueError, match=r"split train: the prompt of row 0 has 5 tokens, the backbone takes 5"):
        generation.encode([short], tokenizer, 5, prompt=None, split="train")


def test_what_is_written_has_to_find_room_in_the_models_positions():
    """GPT-2 with 16 positions and a prompt of 5 tokens writes 12 and no more: the last of them is not read again."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 16, "vocab_size": 7}
    with torch.random.fork_rng():
        model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=None)).eval()
    assert backbones.positions(model) == 16
    prompt, prompts = torch.ones((1, 5), dtype=torch.int64), np.array([3, 5])
    written = {"attention_mask": prompt, "do_sample": False, "pad_token_id": 0}
    assert model.generate(prompt, max_new_tokens=12, **written).shape == (1, 17)
    generation.check_room(prompts, 12, 16, split="test")
    with pytest.raises(IndexError):
        model.generate(prompt, max_new_tokens=13, **written)
    with pytest.raises(ValueError, match=r"split test: max_new_tokens: is 13, .* row 1 has 5 .* give at most 12, or"):
        generation.check_room(prompts, 13, 16, split="test")


def test_room_is_looked_for_where_a_split_is_evaluated(tmp_path):
    """Prompts of 5 tokens and 4 to be written: 8 positions serve, for longer prompts of train, too, and 7 do not."""
    one = task(tmp_path)
    (tmp_path / "train.csv").write_text("question,worked\n1 + 2 + 3 + 4 + 5,= 15\n")
    assert prepared(tmp_path, one) == prepared(tmp_path, one, positions=8)
    with pytest.raises(ValueError, match=r"split (test|validation): max_new_tokens: is 4, .* give at most 3, or"):
        prepared(tmp_path, one, positions=7)


class Cutting:
    """A tokenizer of single characters that joins a line break with what follows it."""

    eos_token_id, pad_token_id = 0, 0

    def __call__(self, texts, verbose):
        return {"input_ids": [[sum(map(ord, part)) for part in re.findall(r"\n.|.|\n", text)] for text in texts]}


def test_a_tokenizer_that_joins_prompt_and_answer_is_refused():
    """Then the model would be asked to go on in the middle of a token."""
    whole = Exercise({"q": "to be:"}, "or not")
    assert generation.encode([whole], Cutting(), 20, prompt=None, split="train")[2].tolist() == [6]
    with pytest.raises(ValueError, match="row 0: the tokenizer makes one token of the prompt's end"):
        generation.encode([Exercise({"q": "to be\n"}, "or not")], Cutting(), 20, prompt=None, split="train")


class Ending(Cutting):
    """One that ends each text by itself."""

    def __call__(self, texts, verbose):
        return {"input_ids": [[*row, 0] for row in super().__call__(texts, verbose)["input_ids"]]}


def test_a_tokenizer_without_an_end_or_with_one_after_each_text_is_refused():
    """No word at the prompt's end would help."""
    endless, whole = Cutting(), Exercise({"q": "to be:"}, "or not")
    endless.eos_token_id = endless.pad_token_id = None
    with pytest.raises(ValueError, match="tokenizer has neither eos_token nor pad_token"):
        generation.encode([whole], endless, 20, prompt=None, split="train")
    with pytest.raises(ValueError, match=r"row 0: the tokenizer puts its end \(token 0\) after each text"):
        generation.encode([whole], Ending(), 20, prompt=None, split="train")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"read": None}, "read: is missing, kind generation needs it"),
        ({"read": "("}, "read: '\\(' is no regular expression"),
        ({"read": "(a)(b)"}, "has 2 groups; the answer is one"),
        ({"metrics": ["accuracy"]}, "kind generation has exact_match alone"),
        ({"classes": 2}, "classes, relabel, answers, range: a generation has none"),
        ({"prompt": "{choices} ="}, r"prompt: names \['choices'\]; it may name \['question'\]"),
        ({"problem": "classification"}, "problem, metrics: are classification"),
        ({"source": {"generator": "sums"}, "synthetic": True}, "sums makes no answers in writing"),
        ({"kind": "sentences", "prompt": None, "classes": 2}, "only kind generation has them"),
    ],
)
def test_what_a_generation_may_say(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        task(tmp_path, **changes)


def test_worked_sums_add_up_and_share_no_first_step():
    """By Python's own arithmetic; the first two numbers of a test question stand in no training question."""
    spec = registry.load()["worked_sums"]
    source = worked_sums.read(spec.source, spec, seed=0)
    firsts = {}
    for split, part in source.splits.items():
        for exercise, label in zip(part.inputs, part.labels):
            a, b, c = map(int, exercise.parts["question"].removesuffix(" =").split(" + "))
            assert exercise.answer == f"{a} + {b} = {a + b} {a + b} + {c} = {a + b + c}"
            assert label == str(a + b + c)
            firsts.setdefault(split, set()).add(frozenset((a, b)))
    assert not firsts["train"] & (firsts["validation"] | firsts["test"])
    assert not firsts["validation"] & firsts["test"]
