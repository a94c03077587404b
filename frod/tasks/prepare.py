"""From a benchmark to a backbone's arrays: read, split, encode, seal."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from frod.files import whole_directory
from frod.tasks import arrays, choices, hub, images, packages, sentences, splits, sums
from frod.tasks.examples import Examples, Source, check_labels, check_rows
from frod.tasks.registry import Generator, Package, Part, TaskSpec

Protocol = Literal["held_out", "released"]


def prepare(
    name: str,
    task: TaskSpec,
    *,
    backbone: str,
    input_facts: dict[str, Any],
    tokenizer: Any = None,
    out: Path,
    seed: int,
    max_train: int | None = None,
    mirror: Path | None = None,
    protocol: Protocol = "held_out",
) -> dict[str, Any]:
    """Write a task as a backbone's arrays and return the manifest.

    The same arguments and source give the same bytes.

    Parameters
    ----------
    name, backbone : str
        Names of the task and the backbone; they go into the manifest.
    input_facts : dict
        How the backbone takes its inputs, as frod.backbones.input_facts returns it.
    tokenizer : transformers tokenizer, optional
        Of the backbone; images need none.
    out : Path
        Folder, data/tasks/TASK/BACKBONE; replaced as a whole.
    seed : int
        Of the validation split and the training subset.
    max_train : int, optional
        At most so many training examples, drawn by class.
    mirror : Path, optional
        Folder laid out like the Hub, looked up before it.
    protocol : "held_out" or "released"
        held_out: selection sees a validation split carved from train. released: validation is test itself and train
        is whole, as in the authors' scripts; the manifest says so.

    Raises
    ------
    ValueError
        Source and registry disagree, labels are unusable, or the backbone takes other inputs than the task has.
    """
    _check_inputs(name, task, backbone, input_facts, tokenizer)
    source = read(task, seed=seed, mirror=mirror)
    parts = divide(task, source, seed=seed, protocol=protocol)
    available = len(parts["train"])
    if max_train is not None and max_train < available:
        train = parts["train"]
        chosen = splits.stratified(train.labels, train.ids, max_train, seed=seed, purpose="train subset")
        parts["train"] = train.take(chosen)
    parts = {split: _relabelled(part, task) for split, part in parts.items()}
    for split, part in parts.items():
        check_labels(f"{split} of task {name}", part.labels, task.classes)
    manifest = _facts(name, task) | {
        "backbone": backbone,
        "inputs": input_facts,
        "source": source.facts | {"rows": {split: len(part) for split, part in source.splits.items()}},
        "parameters": {"seed": seed, "max_train": max_train, "train_available": available, "protocol": protocol},
    }
    with whole_directory(out) as folder:
        truncated = {split: _encode(folder, split, part, task, input_facts, tokenizer) for split, part in parts.items()}
        if task.kind != "images":
            manifest["truncated"] = truncated
        return arrays.seal(folder, manifest, {split: len(part) for split, part in parts.items()})


def read(task: TaskSpec, *, seed: int, mirror: Path | None = None) -> Source:
    """Read the splits of the source that the task needs, their sizes checked against the registry."""
    wanted = list(dict.fromkeys(part.from_ for part in (task.train, task.validation, task.test)))
    if isinstance(task.source, Generator):
        source = sums.read(task.source, seed=seed)
    elif isinstance(task.source, Package):
        source = packages.read(task.source)
    else:
        source = hub.read(task, wanted, mirror)
    for split, expected in task.rows.items():
        check_rows(f"{split} of {source.facts['what']}", source.splits[split].labels, expected.rows, expected.labels)
    for split in wanted:
        ids = source.splits[split].ids
        if len(np.unique(ids)) != len(ids):
            raise ValueError(f"split {split} of {source.facts['what']}: example ids repeat")
        check_labels(f"{split} of {source.facts['what']}", source.splits[split].labels, _source_classes(task))
    return source


def divide(task: TaskSpec, source: Source, *, seed: int, protocol: Protocol = "held_out") -> dict[str, Examples]:
    """Return train, validation and test: disjoint, unless the protocol says that validation is test.

    The draw sees the source's classes and ids only: tasks that differ in their classes alone (digits and their parity)
    have the same members in each split.
    """
    left = {split: np.arange(len(part)) for split, part in source.splits.items()}

    def draw(split: str, part: Part) -> Examples:
        examples = source.splits[part.from_]
        pool = examples.take(left[part.from_])
        rows = len(pool) if part.rows is None else part.rows
        chosen = splits.stratified(pool.labels, pool.ids, rows, seed=seed, purpose=split)
        left[part.from_] = np.delete(left[part.from_], chosen)
        return pool.take(chosen)

    test = draw("test", task.test)
    validation = test if protocol == "released" else draw("validation", task.validation)
    return {"train": draw("train", task.train), "validation": validation, "test": test}


def _facts(name: str, task: TaskSpec) -> dict[str, Any]:
    """Return what the manifest says of the task itself."""
    return {
        "task": name,
        "title": task.title,
        "kind": task.kind,
        "problem": "classification",
        "synthetic": task.synthetic,
        "licence": task.licence,
        "num_classes": task.num_classes,
        "class_names": task.classes,
        "metrics": list(task.metrics),
    }


def _check_inputs(name: str, task: TaskSpec, backbone: str, facts: dict[str, Any], tokenizer: Any) -> None:
    wanted = "images" if task.kind == "images" else "text"
    if facts["kind"] != wanted:
        raise ValueError(f"task {name} has {wanted}, the backbone {backbone} takes {facts['kind']}")
    if wanted == "text" and tokenizer is None:
        raise ValueError(f"task {name}: kind {task.kind} needs the backbone's tokenizer, got None")


def _source_classes(task: TaskSpec) -> list[str]:
    return task.classes if task.relabel is None else [str(i) for i in range(len(task.relabel))]


def _relabelled(part: Examples, task: TaskSpec) -> Examples:
    if task.relabel is None:
        return part
    return Examples(inputs=part.inputs, labels=np.array(task.relabel, dtype=np.int64)[part.labels], ids=part.ids)


def _encode(folder: Path, split: str, part: Examples, task: TaskSpec, facts: dict[str, Any], tokenizer: Any) -> int:
    """Write one split; return how many texts were cut."""
    arrays.write_labels(folder, split, part.labels, part.ids)
    if task.kind == "images":
        out = arrays.write_images(folder, split, images.shape(len(part), facts))
        images.encode(part.inputs, facts, out)
        out.flush()
        return 0
    texts = choices.texts(part.inputs) if task.kind == "choices" else part.inputs
    tokens, offsets, truncated = sentences.encode(texts, tokenizer, facts["max_length"])
    arrays.write_tokens(folder, split, tokens, offsets)
    return truncated
