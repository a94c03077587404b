"""Texts to tokens: nothing lost between texts and offsets, and what is cut is counted."""

import itertools

import numpy as np
import pytest

from frod.tasks import sentences
from frod.tasks.choices import Question, texts


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
    def empty(texts, **_):
        return {"input_ids": [[] for _ in texts]}

    with pytest.raises(ValueError, match="no token of 2 texts, such as number 0"):
        sentences.encode(["", ""], empty, 5)


def test_choices_come_before_the_question_which_ends_the_text():
    assert texts([Question("2 + 3 =", ("4", "5"))]) == ["4 A 5 B 2 + 3 ="]
