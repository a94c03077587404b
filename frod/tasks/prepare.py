"""From a benchmark to a backbone's arrays: read, split, encode, write."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from frod.files import own_prefix, whole_directory
from frod.tasks import (
    arrays,
    choices,
    duplicates,
    generation,
    images,
    likelihood,
    packages,
    sentences,
    split_files,
    splits,
    sums,
    worked_sums,
)
from frod.tasks.examples import Examples, Source, check_labels, check_reals, check_rows, listed
from frod.tasks.registry import Generator, Package, SplitSpec, TaskSpec

Protocol = Literal["audited", "released"]


def prepare(
    name: str,
    task: TaskSpec,
    *,
    backbone: str,
    input_facts: dict[str, Any],
    tokenizer: Any = None,
    positions: int | None = None,
    out: Path,
    seed: int,
    max_train: int | None = None,
    mirror: Path | None = None,
    protocol: Protocol = "audited",
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
    positions : int, optional
        Of the backbone, as frod.backbones.positions returns it: a generation has to find room in them.
    out : Path
        Folder, data/tasks/TASK/BACKBONE; replaced as a whole. While this runs, a copy of the source lies next to it.
    seed : int
        Of the validation split and the training subset.
    max_train : int, optional
        At most so many training examples, drawn by class.
    mirror : Path, optional
        Folder laid out like the Hub, looked up before it.
    protocol : "audited" or "released"
        audited: selection sees a validation split that is not test. released: test is the split that the authors'
        scripts evaluate on, validation is test itself and train is whole, as in those scripts; the manifest says so.

    Raises
    ------
    ValueError
        Source and registry disagree, labels are unusable, or the backbone takes other inputs than the task has.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(f"protocol: is {protocol!r}; it should be one of {', '.join(get_args(Protocol))}")
    _check_inputs(name, task, backbone, input_facts, tokenizer)
    input_facts = images.at_size(input_facts, task.image_size)
    with opened(task, seed=seed, mirror=mirror, protocol=protocol, near=out) as source:
        parts, facts = drawn(name, task, source, seed=seed, max_train=max_train, protocol=protocol)
        manifest = facts | {"backbone": backbone, "inputs": input_facts}
        with whole_directory(out) as folder:
            what = source.facts["what"]
            cut = {
                split: encode(folder, split, part, task, input_facts, tokenizer, what, positions)
                for split, part in parts.items()
            }
            if task.kind != "images":
                manifest["truncated"] = cut
            return arrays.write_manifest(folder, manifest, {split: len(part) for split, part in parts.items()})


def check(name: str, task: TaskSpec, *, seed: int, protocol: Protocol = "audited") -> None:
    """Read and split a task's source as `prepare` does, and write nothing; ValueError as there."""
    with opened(task, seed=seed, protocol=protocol) as source:
        drawn(name, task, source, seed=seed, protocol=protocol)
        for split, part in source.splits.items() if task.kind == "images" else ():
            images.check(part.inputs, names=_image_names(split, part, source.facts["what"]))


@contextmanager
def opened(
    task: TaskSpec, *, seed: int, mirror: Path | None = None, protocol: Protocol = "audited", near: Path | None = None
) -> Iterator[Source]:
    """Read the splits of the source that the task needs, their sizes checked against the registry.

    Inputs are read as long as this is open, from a copy in a folder of its own next to the path `near`, or among the
    system's temporary files.
    """
    if near is not None:
        near.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=own_prefix(), dir=near.parent if near else None) as scratch:
        wanted = list(dict.fromkeys(part.from_ for part in _drawn_from(task, protocol).values()))
        if isinstance(task.source, Generator):
            worked = task.source.generator == "worked_sums"
            source = worked_sums.read(task.source, task, seed=seed) if worked else sums.read(task.source, seed=seed)
        elif isinstance(task.source, Package):
            source = packages.read(task.source)
        else:
            source = split_files.read(task, wanted, mirror, Path(scratch))
        for split in wanted:
            _check_split(split, task, source)
        yield source


def drawn(
    name: str, task: TaskSpec, source: Source, *, seed: int, max_train: int | None = None, protocol: Protocol
) -> tuple[dict[str, Examples], dict[str, Any]]:
    """Return the splits as they are to be encoded, and what the manifest says of the task, its source and the draw."""
    parts, repeated = without_duplicates(
        name, task, divide(task, source, seed=seed, protocol=protocol), protocol=protocol
    )
    available = len(parts["train"])
    if max_train is not None and max_train < available:
        train = parts["train"]
        subset = splits.stratified(_strata(train, task), train.ids, max_train, seed=seed, purpose="train subset")
        parts["train"] = train.take(subset)
    facts = _facts(name, task, source) | {
        "source": source.facts | {"rows": {split: len(part) for split, part in source.splits.items()}},
        "parameters": {"seed": seed, "max_train": max_train, "train_available": available, "protocol": protocol},
        "duplicates": repeated,
    }
    return _relabelled(name, task, parts), facts


def divide(task: TaskSpec, source: Source, *, seed: int, protocol: Protocol = "audited") -> dict[str, Examples]:
    """Return the task's splits: disjoint, unless the protocol says that validation is test.

    The draw sees the source's classes and ids only: tasks that differ in their classes alone (digits and their parity)
    have the same members in each split.
    """
    left = {split: np.arange(len(part)) for split, part in source.splits.items()}
    parts = {}
    for split, part in _drawn_from(task, protocol).items():
        pool = source.splits[part.from_].take(left[part.from_])
        rows = len(pool) if part.rows is None else part.rows
        if rows == 0:
            raise ValueError(f"{split}: nothing is left of the source's {part.from_}; give the others fewer `rows`")
        chosen = splits.stratified(_strata(pool, task), pool.ids, rows, seed=seed, purpose=split)
        left[part.from_] = np.delete(left[part.from_], chosen)
        parts[split] = pool.take(chosen)
    if protocol == "released":
        parts["validation"] = parts["test"]
    test = _drawn_from(task, protocol)["test"]
    assert len(parts["test"]) == (test.rows or len(source.splits[test.from_])), "test is not whole"
    return parts


def without_duplicates(
    name: str, task: TaskSpec, parts: dict[str, Examples], *, protocol: Protocol = "audited"
) -> tuple[dict[str, Examples], dict[str, Any]]:
    """Return the splits as the task's `duplicates` has them, and what was found; see `frod.tasks.duplicates`.

    The released protocol keeps all: its validation is test, and train is whole.
    """
    if protocol == "released":
        apart, found = duplicates.resolve(name, {n: parts[n] for n in parts if n != "validation"}, "keep", set())
        return apart | {"validation": parts["validation"]}, found
    drawn = {split for split, part in task.parts().items() if part.from_ == task.train.from_} - {"train"}
    return duplicates.resolve(name, parts, task.duplicates, drawn)


def _drawn_from(task: TaskSpec, protocol: Protocol) -> dict[str, SplitSpec]:
    """Return the splits to draw, test first, and where from."""
    parts = task.parts()
    if protocol == "audited":
        return parts
    test = SplitSpec.model_validate({"from": task.released}) if task.released else task.test
    return {split: test if split == "test" else part for split, part in parts.items() if split != "validation"}


def _strata(part: Examples, task: TaskSpec) -> np.ndarray:
    """Return what a draw keeps the shares of: the classes; real numbers have none."""
    return part.labels if task.problem == "classification" else np.zeros(len(part), dtype=np.int64)


def _check_split(split: str, task: TaskSpec, source: Source) -> None:
    """Hold one split of the source against the registry; ValueError where they disagree."""
    name = f"{split} of {source.facts.get('elsewhere', {}).get(split, source.facts)['what']}"
    if split not in source.splits:
        raise ValueError(f"split {name} is asked for; there are {', '.join(source.splits)}")
    part, expected = source.splits[split], task.rows.get(split)
    if expected is not None:
        check_rows(name, part.labels, expected.rows, expected.labels)
    if len(np.unique(part.ids)) != len(part.ids):
        raise ValueError(f"split {name}: example ids repeat")
    of_source = task.class_names if task.relabel is None else [str(i) for i in range(len(task.relabel))]
    _check(name, part.labels, task, of_source)


def _check(name: str, labels: np.ndarray, task: TaskSpec, classes: list[str]) -> None:
    if task.problem == "regression":
        assert task.range is not None
        check_reals(name, labels, *task.range)
    elif task.problem == "classification":
        # All right answers may stand in one place where the model does not see the places.
        unseen = _are_places(task) and "{choices}" not in (task.prompt or "")
        check_labels(name, labels, classes, spread=not unseen or not set(task.metrics) <= {"accuracy", "accuracy_norm"})


def _are_places(task: TaskSpec) -> bool:
    """Whether classes are places among answers that each question has of its own, and that are scored as texts."""
    return task.scoring == "likelihood" and not task.choices


def _check_taught(name: str, parts: dict[str, Examples], classes: list[str], *, all_of: bool) -> None:
    """Raise ValueError where a split has a class of which train has no example: no model could learn it.

    `all_of`: or the task has one.
    """
    taught = np.unique(parts["train"].labels)
    for split, part in parts.items():
        unknown = part.labels[~np.isin(part.labels, taught)]
        if len(unknown):
            raise ValueError(
                f"split {split} of task {name}: {np.sum(part.labels == unknown[0])} of {len(part)} labels are "
                f"{classes[unknown[0]]!r}, of which train has no example; give it more examples, merge it with another "
                "class (relabel), or leave it out"
            )
    lacking = [classes[number] for number in range(len(classes)) if number not in taught]
    if lacking and all_of:
        raise ValueError(
            f"train of task {name} has no example of {listed(lacking)}; give them some, or take them out of `classes`"
        )


def _facts(name: str, task: TaskSpec, source: Source) -> dict[str, Any]:
    """Return what the manifest says of the task itself."""
    counted = isinstance(task.classes, int) and task.relabel is None and source.class_names
    of_language: dict[str, Any] = {}
    if task.kind == "generation":
        of_language = {"read": task.read, "max_new_tokens": task.max_new_tokens}
    elif task.scoring == "likelihood":
        of_language = {"scoring": task.scoring}
    return {
        "task": name,
        "title": task.title,
        "kind": task.kind,
        "problem": task.problem,
        "synthetic": task.synthetic,
        "licence": task.licence,
        "num_classes": task.num_classes,
        "class_names": source.class_names if counted else task.class_names,
        "range": task.range,
        "metrics": list(task.metrics),
    } | of_language


def _check_inputs(name: str, task: TaskSpec, backbone: str, facts: dict[str, Any], tokenizer: Any) -> None:
    wanted = "images" if task.kind == "images" else "text"
    if facts["kind"] != wanted:
        raise ValueError(f"task {name} has {wanted}, the backbone {backbone} takes {facts['kind']}")
    if wanted == "text" and tokenizer is None:
        raise ValueError(f"task {name}: kind {task.kind} needs the backbone's tokenizer, got None")


def _relabelled(name: str, task: TaskSpec, parts: dict[str, Examples]) -> dict[str, Examples]:
    """Return the splits with the task's classes; ValueError where a split cannot be learned from or tested on."""
    if task.relabel is not None:
        of_source = np.array(task.relabel, dtype=np.int64)
        parts = {
            split: Examples(inputs=part.inputs, labels=of_source[part.labels], ids=part.ids)
            for split, part in parts.items()
        }
    for split, part in parts.items():
        _check(f"{split} of task {name}", part.labels, task, task.class_names)
        if task.read is not None and split != "train":
            generation.check_references(f"{split} of task {name}", part.labels, task.read)
    if task.problem == "classification" and not _are_places(task):
        # A letter of a choice is a place among the answers: it may be that none of few questions has its answer there.
        _check_taught(name, parts, task.class_names, all_of=task.kind != "choices")
    return parts


def encode(
    folder: Path,
    split: str,
    part: Examples,
    task: TaskSpec,
    facts: dict[str, Any],
    tokenizer: Any,
    what: str,
    positions: int | None = None,
) -> int:
    """Write one split; return how many texts were cut. `what` is the source's name, for errors."""
    arrays.write_labels(folder, split, part.labels, part.ids)
    if task.kind == "images":
        out = arrays.write_images(folder, split, images.shape(len(part), facts))
        images.encode(part.inputs, facts, out, names=_image_names(split, part, what))
        out.flush()
        return 0
    if task.kind == "generation":
        tokens, offsets, prompts, truncated = generation.encode(
            part.inputs, tokenizer, facts["max_length"], prompt=task.prompt, split=split
        )
        if positions is not None and split != "train":
            assert task.max_new_tokens is not None
            generation.check_room(prompts, task.max_new_tokens, positions, split=split)
        arrays.write_prompts(folder, split, prompts)
        arrays.write_tokens(folder, split, tokens, offsets)
        return truncated
    if task.scoring == "likelihood":
        tokens, offsets, prompts, sizes, truncated = likelihood.encode(
            part.inputs, tokenizer, facts["max_length"], prompt=task.prompt, answers=task.num_classes, split=split
        )
        arrays.write_prompts(folder, split, prompts)
        arrays.write_bytes(folder, split, sizes)
        arrays.write_tokens(folder, split, tokens, offsets)
        return truncated
    choice = task.kind == "choices"
    texts = choices.texts(part.inputs, task.prompt) if choice else part.inputs
    tokens, offsets, truncated = sentences.encode(
        texts, tokenizer, facts["max_length"], side="left" if choice else "right"
    )
    arrays.write_tokens(folder, split, tokens, offsets)
    return truncated


def _image_names(split: str, part: Examples, what: str) -> list[str]:
    """What errors call the images that are no files; `what` is the source's name."""
    return [f"with id {i} of {split}, {what}," for i in part.ids]
