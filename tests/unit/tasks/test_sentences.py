"""Texts to tokens: nothing lost between texts and offsets, and what is cut is counted."""

import itertools

import numpy as np
import pytest
from small_sources import WordTokenizer

from frod.backbones.pretrain import word_tokenizer
from frod.tasks import sentences
from frod.tasks.choices import Question, texts


@pytest.fixture
def tokenizer():
    return WordTokenizer()


def rows_of(tokens, offsets):
    return [tokens[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def test_tokens_and_offsets_give_each_text_back(tokenizer, monkeypatch):
    monkeypatch.setattr(sentences, "BATCH", 2)  # the seam between batches must not show
    tokens, offsets, truncated = sentences.encode(["a bb", "ccc", "a a a a", "bb"], tokenizer, 10)
    assert rows_of(tokens, offsets) == [[101, 1, 2, 102], [101, 3, 102], [101, 1, 1, 1, 1, 102], [101, 2, 102]]
    assert (tokens.dtype, offsets.dtype, truncated) == (np.int32, np.int64, 0)


def test_a_cut_text_keeps_its_end_mark_and_is_counted(tokenizer):
    tokens, offsets, truncated = sentences.encode(["a a a a a", "a a a", "b"], tokenizer, 5)
    assert rows_of(tokens, offsets)[0] == [101, 1, 1, 1, 102]
    assert truncated == 1  # the second text just fits


def test_pairs_are_tokenised_together(tokenizer):
    tokens, _, truncated = sentences.encode([("a", "bb bb"), ("ccc", "a")], tokenizer, 10)
    assert tokens.tolist() == [101, 1, 2, 2, 102, 101, 3, 1, 102]
    assert truncated == 0


def test_a_text_without_tokens_is_refused():
    tokenizer = word_tokenizer(["a"], max_length=8)
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(ValueError, match="no token of 2 texts, such as number 0"):
        sentences.encode(["", ""], tokenizer, 5)


def test_a_question_is_cut_on_the_left_and_keeps_its_begin_mark(tokenizer):
    tokens, _, truncated = sentences.encode(["a bb ccc dddd", "a"], tokenizer, 4, side="left")
    assert tokens.tolist() == [101, 3, 4, 102, 101, 1, 102]
    assert truncated == 1 and tokenizer.truncation_side == "right"  # given back as it was


def test_a_real_tokenizer_keeps_its_begin_mark_too():
    real = word_tokenizer(["a b c d"], max_length=8)
    tokens, _, truncated = sentences.encode(["a b c d", "d"], real, 3, side="left")
    assert real.decode(tokens).split() == ["<s>", "c", "d", "<s>", "d"]
    assert truncated == 1


def test_choices_come_before_the_question_which_ends_the_text():
    assert texts([Question({"question": "2 + 3 ="}, ("4", "5"))]) == ["4 A 5 B 2 + 3 ="]


def test_a_prompt_is_filled_with_a_line_for_each_choice():
    question = Question({"a.b": "What {is} it?", "goal": "G"}, ("x {y}", "z"))
    prompt = "{goal}: {a.b}\n{choices}\n{{Answer}}:"
    assert texts([question], prompt) == ["G: What {is} it?\nA. x {y}\nB. z\n{Answer}:"]
