"""Questions that are answered in writing: the prompt, the answer that follows it, and both as tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frod.evaluation.generated import read_out
from frod.tasks import choices, sentences
from frod.tasks.choices import Question


@dataclass(frozen=True)
class Exercise:
    """A question and a right answer to it, which is no part of the input.

    parts : the question's text, by column
    """

    parts: dict[str, str]
    answer: str


def prompt_of(exercise: Exercise, prompt: str | None) -> str:
    """Return what the model is given: the prompt with the question's parts in it, or the parts in one line."""
    if prompt is None:
        return " ".join(exercise.parts.values())
    (text,) = choices.texts([Question(exercise.parts, ())], prompt)
    return text


def end_of(tokenizer: Any) -> int:
    """Return the token that ends an answer: the tokenizer's end of text or, where it has none, its padding.

    ValueError where it has neither.
    """
    end = tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if end is None:
        raise ValueError(
            "kind generation: the backbone's tokenizer has neither eos_token nor pad_token, so that no answer would "
            "end; name one in its tokenizer_config.json, or take another backbone"
        )
    return end


def references(answers: Sequence[str], read: str) -> np.ndarray:
    """Return what is to be read out of each answer, text of shape (examples,); "" where there is nothing."""
    return np.array([read_out(answer, read) for answer in answers], dtype=np.str_)


def check_references(name: str, labels: np.ndarray, read: str) -> None:
    """Raise ValueError where a split that is evaluated has answers in which nothing is found."""
    unread = np.flatnonzero(labels == "")
    if len(unread):
        raise ValueError(
            f"split {name}: read {read!r} finds no answer in {len(unread)} of {len(labels)} right answers, such as in "
            f"that of row {unread[0]}; mend the expression, or leave the rows out"
        )


def encode(
    exercises: Sequence[Exercise], tokenizer: Any, max_length: int, *, prompt: str | None, split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Tokenise prompts with the tokenizer's own special tokens, each followed by its answer and the end of the text.

    Prompt and answer are tokenised as one text, with a space between them unless the prompt ends in white space.

    Parameters
    ----------
    max_length : int
        In tokens, all included; what is longer is cut on the right.

    Returns
    -------
    tokens : int32 array of shape (all tokens,)
    offsets : int64 array of shape (examples + 1,); example i is tokens[offsets[i]:offsets[i + 1]]
    prompts : int64 array of shape (examples,), how many of an example's tokens are its prompt
    truncated : int, examples that were cut

    Raises
    ------
    ValueError
        A prompt leaves no room for an answer, or its last word and the answer's first are one token; the tokenizer has
        no end, or puts it after a prompt, too.
    """
    pieces: list[np.ndarray] = []
    lengths: list[int] = []
    truncated, end = 0, end_of(tokenizer)
    for given, whole in _tokens(exercises, tokenizer, prompt):
        row = len(pieces)
        if len(given) >= max_length:
            raise ValueError(
                f"split {split}: the prompt of row {row} has {len(given)} tokens, the backbone takes {max_length} with "
                "its answer; raise the backbone's max_length, or leave such rows out"
            )
        if whole[: len(given)] != given and given[-1] == end:
            raise ValueError(
                f"split {split}: row {row}: the tokenizer puts its end (token {end}) after each text, the prompt, too, "
                "and no answer follows an end; switch it off (add_eos_token in its tokenizer_config.json), or take "
                "another backbone"
            )
        if whole[: len(given)] != given:
            raise ValueError(
                f"split {split}: row {row}: the tokenizer makes one token of the prompt's end and the answer's "
                "beginning; end the prompt with a word or a colon, without white space"
            )
        ended = whole if whole[-1] == end and len(whole) > len(given) else [*whole, end]
        truncated += len(ended) > max_length
        pieces.append(np.asarray(ended[:max_length], dtype=np.int32))
        lengths.append(len(given))
    offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return np.concatenate(pieces), offsets, np.array(lengths, dtype=np.int64), truncated


def check_room(prompts: np.ndarray, max_new_tokens: int, positions: int, *, split: str) -> None:
    """Raise ValueError where a model has too few positions for a prompt and what it may write after it.

    The last token that is written is never read: it needs no position.

    Parameters
    ----------
    prompts : int64 array of shape (examples,), how many tokens each has
    positions : int
        As of `frod.backbones.positions`.
    """
    row = int(np.argmax(prompts))
    room = positions - int(prompts[row]) + 1
    if max_new_tokens > room:
        raise ValueError(
            f"split {split}: max_new_tokens: is {max_new_tokens}, and the prompt of row {row} has {prompts[row]} "
            f"tokens, but the backbone has positions for {positions}; give at most {room}, or leave such rows out"
        )


def _tokens(exercises: Sequence[Exercise], tokenizer: Any, prompt: str | None) -> Iterator[tuple[list[int], list[int]]]:
    """Tokens of each prompt, and of it with its answer."""
    for start in range(0, len(exercises), sentences.BATCH):
        batch = [exercises[row] for row in range(start, min(start + sentences.BATCH, len(exercises)))]
        given = [prompt_of(one, prompt) for one in batch]
        whole = [choices.followed(text, one.answer) for text, one in zip(given, batch)]
        yield from zip(*(tokenizer(texts, verbose=False)["input_ids"] for texts in (given, whole)))
