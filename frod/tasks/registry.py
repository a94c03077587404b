"""The benchmarks, typed: what registry.yaml says of each task, checked when it is read."""

from __future__ import annotations

import re
import string
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from frod.config import schema
from frod.config.schema import Count, HubSource, Inside, Name, OwnPath, StrictModel
from frod.tasks.choices import LETTERS

REGISTRY = Path(__file__).with_name("registry.yaml")


def composed(name: str) -> str:
    """Return a name with its accents composed (NFC); a file system or an archive may write them apart (NFD)."""
    return unicodedata.normalize("NFC", name)


ClassName = Annotated[str, AfterValidator(composed)]


class Hub(HubSource):
    """A data set of the Hugging Face Hub, in parquet files, or in JSON."""

    config: Inside = "default"
    files: dict[Inside, Inside] = {}
    """Pattern of a split's files where it is not CONFIG/SPLIT-*.parquet."""

    def pattern(self, split: str) -> str:
        """Which files of the data set hold a split."""
        return self.files.get(split, f"{self.config}/{split}-*.parquet")


class Package(StrictModel):
    """Data that an installed Python package ships."""

    package: str
    reader: Literal["digits", "territory_names"]
    options: dict[str, Any] = {}


class Generator(StrictModel):
    """Data that is computed; always labelled synthetic."""

    generator: Literal["sums", "worked_sums"]
    options: dict[str, Any] = {}


class Local(StrictModel):
    """Your own data. Seen from the folder of params.yaml:

    - a csv, tsv or parquet file: one split, `all`;
    - a folder of SPLIT.csv, SPLIT.tsv, SPLIT.parquet or SPLIT-*.parquet;
    - a folder of images, SPLIT/CLASS/*.png (or jpg), or CLASS/*.png: one split, `all`.
    """

    path: OwnPath
    """File or folder."""


class Columns(StrictModel):
    """Which columns of a table hold what."""

    text: list[str] = []
    """One or two columns of sentences; of a choice or a generation, what its prompt names."""
    choices: str | list[str] | None = None
    """The answers to choose from: a column of lists (or of structs of `text` and `label`), or a column each."""
    image: str | None = None
    """Encoded images."""
    label: str = "label"
    """What is to be predicted; of a generation the text of a right answer."""
    id: str | None = None
    """Column of whole numbers that name the examples; null: the position in the source."""


class Elsewhere(StrictModel):
    """A split that another data set holds than the source."""

    source: Hub
    """The data set; its split of this name."""
    columns: Columns
    """Its own; a prompt has the names of the source's columns, in whose order these stand."""


class Rows(StrictModel):
    """What a split of the source must hold."""

    rows: Count
    labels: list[Count] | None = None
    """Examples of each class, in the order of the source's classes."""


class SplitSpec(StrictModel):
    """Where a split of the task comes from."""

    from_: Annotated[Inside, Field(alias="from")]
    """Split of the source."""
    rows: Count | None = None
    """How many examples are drawn, stratified by class; null: all that no other split draws."""


class TaskSpec(StrictModel):
    """One benchmark."""

    title: str
    """What the report calls it."""
    kind: Literal["images", "sentences", "choices", "generation"]
    """Images; one or two texts; a question with answers to choose from; a question that is answered in writing."""
    problem: Literal["classification", "regression", "generation"] = "classification"
    """Regression: labels are real numbers. Of kind generation it follows from the kind."""
    scoring: Literal["classification", "likelihood"] = "classification"
    """How a choice is made: by a classifier that names the letter; or, with a causal language model's own head,
    by how likely each answer is after the prompt."""
    source: Hub | Package | Generator | Local
    """Where the data are: of the Hub, of an installed package, computed, or your own."""
    licence: str
    """Of the data, as SPDX has it, or in a word of yours; printed in the report."""
    synthetic: bool = False
    """Whether the data are made up; the report says so."""
    columns: Columns = Columns()
    """Of a table; images in folders have none."""
    elsewhere: dict[Inside, Elsewhere] = {}
    """Splits of the source that other data sets hold, by name: such as what is trained on, where another is tested."""
    rows: dict[Inside, Rows] = {}
    """By split of the source."""
    classes: Count | list[ClassName] | None = None
    """Names of the classes, or how many there are; of a choice, its letters. Not of a regression. Labels that are text
    and have no `answers` are these names, else numbers."""
    range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """Of a regression: the least and the greatest label."""
    answers: list[ClassName] | None = None
    """How the source writes each class, in order (a truth value: False, True). Null: 0, 1, ..., or the class's name, or
    one of the labels that stand next to the answers to choose from."""
    choices: list[str] = []
    """Answers to choose from where they are the same for every question (yes and no)."""
    prompt: str | None = None
    """Text of a choice, with the names of columns.text and `choices` in braces; {choices} becomes a line `A. answer`
    for each. Null: answers and letters in one line, then the question. Of a generation, or a choice by likelihood,
    which may leave {choices} out: what an answer follows, after a space; null: columns.text in one line."""
    read: str | None = None
    """Of a generation: regular expression whose last match in a text is the answer, its group if it has one. Both the
    right answer and what the model writes are read by it."""
    max_new_tokens: Count | None = None
    """Of a generation: tokens that the model may write."""
    image_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Of images: pixels of an edge, on a model that takes any size, such as DINOv2, which interpolates its positions.
    Fewer cost less. Null: the model's own."""
    relabel: list[int] | None = None
    """Class of each class of the source; null: the source's own."""
    train: SplitSpec
    """What is trained on; it has no `rows`."""
    validation: SplitSpec
    """What selection sees."""
    test: SplitSpec
    """What the benchmark reports on."""
    more_tests: dict[Name, SplitSpec] = {}
    """Further splits that the benchmark reports on, read with test: split `test_NAME`."""
    duplicates: Literal["drop", "keep", "error"] | None = None
    """Examples of train that stand in another split, too: left out, kept or an error. Null: left out where both splits
    are drawn from one split of the source; where the source has both, as files of their own, kept. They are counted
    either way."""
    released: Inside | None = None
    """Split of the source that the authors' scripts evaluate on, where it is not that of test."""
    metrics: Annotated[
        list[Literal["accuracy", "accuracy_norm", "matthews_correlation", "f1", "pearson", "spearman", "exact_match"]],
        Field(min_length=1),
    ]
    """The first is the one that selection and report follow. accuracy_norm is of a choice by likelihood: that of the
    answers whose log-likelihood over their bytes is the highest."""

    @property
    def is_causal(self) -> bool:
        """Whether it is learnt with a causal language model's own head."""
        return self.kind == "generation" or self.scoring == "likelihood"

    @property
    def num_classes(self) -> int:
        """Outputs of the head: 1 for a regression, and for a generation, which has a language model's own."""
        if self.problem != "classification":
            return 1
        return self.classes if isinstance(self.classes, int) else len(self.classes or ())

    @property
    def class_names(self) -> list[str]:
        """Names of the classes; numbers where only their count is known; none of a regression or a generation."""
        if self.problem != "classification":
            return []
        return self.classes if isinstance(self.classes, list) else [str(i) for i in range(self.num_classes)]

    @property
    def source_classes(self) -> int:
        """How many classes the source has."""
        return self.num_classes if self.relabel is None else len(self.relabel)

    def parts(self) -> dict[str, SplitSpec]:
        """The task's splits, test first: what they draw is not left for train."""
        tests = {"test": self.test} | {f"test_{name}": part for name, part in self.more_tests.items()}
        return tests | {"validation": self.validation, "train": self.train}

    def source_splits(self) -> set[str]:
        """Splits of the source that a protocol reads."""
        return {part.from_ for part in self.parts().values()} | ({self.released} if self.released else set())

    def by_source(self) -> list[tuple[TaskSpec, list[str]]]:
        """The task as each data set holds it, with the splits that are read from there; the source itself first."""
        wanted = sorted(self.source_splits())
        held = [(self, [split for split in wanted if split not in self.elsewhere])]
        for split in (split for split in wanted if split in self.elsewhere):
            held.append((self.model_copy(update=dict(self.elsewhere[split])), [split]))
        return held

    @model_validator(mode="before")
    @classmethod
    def _with_problem(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "generation":
            return {"problem": "generation"} | values
        return values

    @model_validator(mode="after")
    def _consistent(self) -> TaskSpec:
        _check_generation(self)
        _check_scoring(self)
        _check_labels(self)
        if self.kind == "choices":
            _check_choices(self)
        elif self.columns.choices or self.choices:
            raise ValueError(f"choices: kind is {self.kind}; only kind choices has them")
        if self.prompt is not None:
            _check_prompt(self)
        if self.image_size is not None and self.kind != "images":
            raise ValueError(f"image_size: is {self.image_size}, kind is {self.kind}; only kind images has it")
        if isinstance(self.source, Generator) and not self.synthetic:
            raise ValueError("synthetic: is false, but the source is a generator; say synthetic: true")
        if isinstance(self.source, Hub | Local):
            wanted = "image" if self.kind == "images" else "text"
            folder = isinstance(self.source, Local) and self.kind == "images"
            if not getattr(self.columns, wanted) and not folder:
                raise ValueError(f"columns.{wanted}: is missing, kind {self.kind} needs it")
        if self.kind == "sentences" and len(self.columns.text) > 2:
            raise ValueError(f"columns.text: {self.columns.text} are more than a pair; a model takes one or two")
        if self.train.rows is not None:
            raise ValueError(
                f"train.rows: is {self.train.rows}, but train is what the other splits leave: leave it out"
            )
        _check_rows(self)
        _check_elsewhere(self)
        return self


class Named(StrictModel):
    """A task and its name, as the workflow gives it to `frod task`."""

    name: Name
    task: TaskSpec


def _check_rows(task: TaskSpec) -> None:
    wanted = task.source_splits()
    if isinstance(task.source, Hub) and wanted - set(task.rows):
        raise ValueError(f"rows: lacks {sorted(wanted - set(task.rows))}: how many rows has each split of the source?")
    for split, rows in task.rows.items():
        if rows.labels is not None and sum(rows.labels) != rows.rows:
            raise ValueError(f"rows.{split}: the labels add up to {sum(rows.labels)}, rows is {rows.rows}")


def _check_elsewhere(task: TaskSpec) -> None:
    for split, other in task.elsewhere.items():
        if split not in task.source_splits() or not isinstance(task.source, Hub):
            raise ValueError(f"elsewhere: {split} is no split that is read, of a source of the Hub; leave it out")
        if task.kind == "images" or len(other.columns.text) != len(task.columns.text):
            raise ValueError(
                f"elsewhere.{split}.columns.text: {other.columns.text} should be as many as {task.columns.text}"
            )
    if task.kind == "choices":
        for part, (split, *_) in task.by_source()[1:]:
            try:
                _check_choices(part)
            except ValueError as error:
                raise ValueError(f"elsewhere.{split}.{error}") from None


def _check_generation(task: TaskSpec) -> None:
    own = {"read": task.read, "max_new_tokens": task.max_new_tokens}
    if task.kind != "generation":
        given = [name for name, value in own.items() if value is not None]
        if given or task.problem == "generation" or "exact_match" in task.metrics:
            raise ValueError(
                f"{', '.join(given or own)}, exact_match: kind is {task.kind}; only kind generation has them"
            )
        if isinstance(task.source, Generator) and task.source.generator == "worked_sums":
            raise ValueError(f"source.generator: worked_sums makes answers in writing; kind is {task.kind}")
        return
    lacking = [name for name, value in own.items() if value is None]
    if lacking:
        raise ValueError(f"{', '.join(lacking)}: is missing, kind generation needs it")
    assert task.read is not None
    try:
        groups = re.compile(task.read).groups
    except re.error as error:
        raise ValueError(f"read: {task.read!r} is no regular expression: {error}") from None
    if groups > 1:
        raise ValueError(f"read: {task.read!r} has {groups} groups; the answer is one: write the others as (?:...)")
    if isinstance(task.source, Generator) and task.source.generator != "worked_sums":
        raise ValueError(f"source.generator: {task.source.generator} makes no answers in writing; worked_sums does")
    if task.problem != "generation" or set(task.metrics) != {"exact_match"}:
        raise ValueError(f"problem, metrics: are {task.problem}, {task.metrics}; kind generation has exact_match alone")
    if any(one is not None for one in (task.classes, task.relabel, task.answers, task.range)):
        raise ValueError("classes, relabel, answers, range: a generation has none; leave them out")


def _check_scoring(task: TaskSpec) -> None:
    if task.scoring == "likelihood" and task.kind != "choices":
        raise ValueError(
            f"scoring: is likelihood, kind is {task.kind}; only the answers of kind choices are scored by it"
        )
    if task.scoring == "likelihood" and task.relabel is not None:
        raise ValueError(
            "relabel: a choice by likelihood has none, its classes are the places of the answers; leave it out"
        )
    if task.scoring == "likelihood" and not all(one.strip() for one in task.choices):
        raise ValueError(f"choices: {task.choices} has a blank answer, which has no likelihood")
    if "accuracy_norm" in task.metrics and task.scoring != "likelihood":
        raise ValueError("metrics: accuracy_norm is of likelihoods; say scoring: likelihood, or leave it out")


def _check_labels(task: TaskSpec) -> None:
    if task.problem == "generation":
        return
    of_reals = {"pearson", "spearman"}
    if task.problem == "regression":
        if task.kind == "choices":
            raise ValueError("problem: is regression, kind is choices; a choice is a classification")
        if task.classes is not None or task.relabel is not None or task.answers is not None:
            raise ValueError("classes, relabel, answers: a regression has none; leave them out")
        if task.range is None or not task.range[0] < task.range[1]:
            raise ValueError(f"range: is {task.range}; a regression names its least and greatest label")
        if not set(task.metrics) <= of_reals:
            raise ValueError(f"metrics: {task.metrics} are not all of real numbers; a regression has {of_reals}")
        return
    if task.range is not None or set(task.metrics) & of_reals:
        raise ValueError("range, pearson and spearman: are of a regression; say problem: regression")
    if task.num_classes < 2:
        raise ValueError(f"classes: is {task.classes}; a classification has two or more")
    if "f1" in task.metrics and task.num_classes > 2:
        raise ValueError(f"metrics: f1 is of two classes, there are {task.num_classes}; use accuracy")
    if len(set(task.class_names)) != task.num_classes:
        raise ValueError(f"classes: {task.classes} repeats a name")
    if task.relabel is not None and set(task.relabel) != set(range(task.num_classes)):
        raise ValueError(f"relabel: {task.relabel} should name every one of the {task.num_classes} classes")
    if task.answers is not None and not len(task.answers) == len(set(task.answers)) == task.source_classes:
        raise ValueError(f"answers: {task.answers} should name each of the {task.source_classes} classes once")


def _check_choices(task: TaskSpec) -> None:
    if task.num_classes > len(LETTERS):
        raise ValueError(f"classes: are {task.num_classes}, but answers have one of the letters {LETTERS}")
    if isinstance(task.source, Hub | Local) and bool(task.columns.choices) == bool(task.choices):
        raise ValueError("columns.choices: give either the columns of the answers, or choices alike for all")
    alike = task.choices or (task.columns.choices if isinstance(task.columns.choices, list) else [])
    if alike and len(alike) != task.num_classes:
        field = "choices" if task.choices else "columns.choices"
        raise ValueError(f"{field}: {alike} are {len(alike)}, the classes {task.num_classes}")


def _check_prompt(task: TaskSpec) -> None:
    if task.kind not in ("choices", "generation"):
        raise ValueError(f"prompt: kind is {task.kind}; only kinds choices and generation have one")
    assert task.prompt is not None
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(task.prompt) if name is not None}
    except ValueError as error:
        raise ValueError(f"prompt: {error}; a brace that is meant as such is written twice") from None
    known = {*task.columns.text, *(["choices"] if task.kind == "choices" else [])}
    if named - known:
        raise ValueError(f"prompt: names {sorted(named - known)}; it may name {sorted(known)}")
    left_out = known - named - ({"choices"} if task.choices or task.scoring == "likelihood" else set())
    if left_out:
        raise ValueError(f"prompt: leaves out {sorted(left_out)}; a model would not see them")


def load(path: Path = REGISTRY) -> dict[str, TaskSpec]:
    """Return the registry's entries by name; ValueError as in frod.config.schema.load."""
    return schema.load(TaskSpec, path)
