"""Examples whose input stands in two splits: a model that has trained on them is not tested by them."""

from __future__ import annotations

import hashlib
import itertools
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from frod.tasks.choices import Question
from frod.tasks.examples import Examples
from frod.tasks.generation import Exercise

Rule = Literal["drop", "keep", "error"]


def resolve(
    name: str, parts: dict[str, Examples], rule: Rule | None, drawn: set[str]
) -> tuple[dict[str, Examples], dict[str, Any]]:
    """Leave out of train what stands in another split, too, or count it.

    Two inputs are the same where the texts are, or the files of the images, to the byte; of a generation, the prompts.

    Parameters
    ----------
    name : str
        The task's, for messages.
    parts : dict of Examples
        By split, train among them.
    rule : {"drop", "keep", "error"} or None
        None drops what stands in the splits of `drawn`, and keeps what stands in others.
    drawn : set of str
        Splits that were drawn from the same split of the source as train.

    Returns
    -------
    parts, and for the manifest: `left_out`, how many of train; `shared`, for "A in B", how many examples
    of split A stand in split B, too

    Raises
    ------
    ValueError
        The rule is error and an example stands in two splits, or all of train does.
    """
    keys = {split: [_key(value) for value in part.inputs] for split, part in parts.items()}
    others = [split for split in parts if split != "train"]
    apart = {None: drawn, "drop": set(others)}.get(rule, set())
    taken = set().union(*(keys[split] for split in apart))
    left = np.array([i for i, key in enumerate(keys["train"]) if key not in taken], dtype=np.int64)
    if not len(left):
        raise ValueError(
            f"task {name}: every example of train stands in {' or '.join(sorted(apart))}, too (duplicates: "
            f"{rule or 'drop'}); take repetitions out of the data"
        )
    left_out = len(keys["train"]) - len(left)
    keys["train"] = [keys["train"][i] for i in left]
    shared = {}
    for split, other in itertools.combinations([*others, "train"], 2):
        there = set(keys[other])
        if count := sum(key in there for key in keys[split]):
            shared[f"{split} in {other}"] = count
    if rule == "error" and shared:
        raise ValueError(f"task {name}: {_said(shared)} (duplicates: error); take them out, or drop or keep them")
    if left_out:
        print(f"task {name}: {left_out} examples of train stand in another split, too; left out", file=sys.stderr)
    if shared:
        of_source = rule is None and any(pair.endswith(" in train") for pair in shared)
        remedy = "; splits that the source itself has are kept whole: `duplicates: drop` takes these out of train"
        remedy = remedy if of_source else ""
        print(f"task {name}: the same example in two splits, kept: {_said(shared)}{remedy}", file=sys.stderr)
    return parts | {"train": parts["train"].take(left)}, {"left_out": left_out, "shared": shared}


def _said(shared: dict[str, int]) -> str:
    return ", ".join(f"{count} of {pair}" for pair, count in shared.items())


def _key(value: Any) -> bytes:
    """Return a digest of one input."""
    if isinstance(value, Path):
        content = value.read_bytes()
    elif isinstance(value, bytes):
        content = value
    elif isinstance(value, np.ndarray):
        content = repr(value.shape).encode() + value.tobytes()
    elif isinstance(value, Exercise):
        content = repr(value.parts).encode()
    else:
        content = repr((value.parts, value.choices) if isinstance(value, Question) else value).encode()
    return hashlib.sha256(content).digest()
