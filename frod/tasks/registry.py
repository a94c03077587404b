"""The benchmarks, typed: what registry.yaml says of each task, checked when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from frod import entries
from frod.entries import Count, Entry

REGISTRY = Path(__file__).with_name("registry.yaml")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class Hub(Entry):
    """A data set of the Hugging Face Hub, in parquet files."""

    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+(@[0-9a-f]{40})?$")]
    """id@revision; the revision is a commit, so that the data cannot change under a finished study. Without one, the
    newest commit is taken when the data are fetched, and recorded."""
    config: str = "default"
    files: dict[str, str] = {}
    """Pattern of a split's files where it is not CONFIG/SPLIT-*.parquet."""

    @property
    def id(self) -> str:
        return self.hub.partition("@")[0]

    @property
    def revision(self) -> str | None:
        return self.hub.partition("@")[2] or None

    def pattern(self, split: str) -> str:
        """Which files of the data set hold a split."""
        return self.files.get(split, f"{self.config}/{split}-*.parquet")


class Package(Entry):
    """Data that an installed Python package ships."""

    package: str
    reader: Literal["digits", "territory_names"]
    options: dict[str, Any] = {}


class Generator(Entry):
    """Data that is computed; always labelled synthetic."""

    generator: Literal["sums"]
    options: dict[str, Any] = {}


class Local(Entry):
    """Your own data. Seen from the folder of params.yaml:

    - a csv or parquet file: one split, `all`;
    - a folder of SPLIT.csv, SPLIT.parquet or SPLIT-*.parquet;
    - a folder of images, SPLIT/CLASS/*.png (or jpg), or CLASS/*.png: one split, `all`.
    """

    path: Path


class Columns(Entry):
    """Which columns of a table hold what."""

    text: list[str] = []
    """One or two columns of sentences; of a choice, what its prompt names."""
    choices: str | list[str] | None = None
    """The answers to choose from: a column of lists (or of structs of `text` and `label`), or a column each."""
    image: str | None = None
    label: str = "label"
    id: str | None = None
    """Column of whole numbers that name the examples; null: the position in the source."""


class Rows(Entry):
    """What a split of the source must hold."""

    rows: Count
    labels: list[Count] | None = None
    """Examples of each class, in the order of the source's classes."""


class Part(Entry):
    """Where a split of the task comes from."""

    from_: Annotated[str, Field(alias="from")]
    """Split of the source."""
    rows: Count | None = None
    """How many examples are drawn, stratified by class; null: all that no other split draws."""


class TaskSpec(Entry):
    """One benchmark."""

    title: str
    kind: Literal["images", "sentences", "choices"]
    problem: Literal["classification", "regression"] = "classification"
    source: Hub | Package | Generator | Local
    licence: str
    synthetic: bool = False
    columns: Columns = Columns()
    rows: dict[str, Rows] = {}
    """By split of the source."""
    classes: Count | list[str] | None = None
    """Names of the classes, or how many there are; of a choice, its letters. Not of a regression."""
    range: tuple[float, float] | None = None
    """Of a regression: the least and the greatest label."""
    answers: list[str] | None = None
    """How the source writes each class, in order, where that is not 0, 1, ... nor a label of the answer's own."""
    choices: list[str] = []
    """Answers to choose from where they are the same for every question (yes and no)."""
    prompt: str | None = None
    """Text of a choice, with the names of columns.text and `choices` in braces; null: choices, then the question."""
    relabel: list[int] | None = None
    """Class of each class of the source; null: the source's own."""
    train: Part
    validation: Part
    """What selection sees."""
    test: Part
    """What the benchmark reports on."""
    more_tests: dict[Name, Part] = {}
    """Further splits that the benchmark reports on, read with test: split `test_NAME`."""
    released: str | None = None
    """Split of the source that the authors' scripts evaluate on, where it is not that of test."""
    metrics: Annotated[
        list[Literal["accuracy", "matthews_correlation", "f1", "pearson", "spearman"]], Field(min_length=1)
    ]
    """The first is the one that selection and report follow."""

    @property
    def num_classes(self) -> int:
        """Outputs of the head: 1 for a regression."""
        if self.problem == "regression":
            return 1
        return self.classes if isinstance(self.classes, int) else len(self.classes or ())

    @property
    def class_names(self) -> list[str]:
        """Names of the classes; numbers where only their count is known."""
        return self.classes if isinstance(self.classes, list) else [str(i) for i in range(self.num_classes)]

    def parts(self) -> dict[str, Part]:
        """The task's splits, test first: what they draw is not left for train."""
        tests = {"test": self.test} | {f"test_{name}": part for name, part in self.more_tests.items()}
        return tests | {"validation": self.validation, "train": self.train}

    @model_validator(mode="after")
    def _consistent(self) -> TaskSpec:
        self._check_labels()
        if isinstance(self.source, Generator) and not self.synthetic:
            raise ValueError("synthetic: is false, but the source is a generator; say synthetic: true")
        if isinstance(self.source, Hub | Local):
            columns, wanted = self.columns, "image" if self.kind == "images" else "text"
            folder = isinstance(self.source, Local) and self.kind == "images"
            if not getattr(columns, wanted) and not folder:
                raise ValueError(f"columns.{wanted}: is missing, kind {self.kind} needs it")
            if self.kind == "choices" and bool(columns.choices) == bool(self.choices):
                raise ValueError("columns.choices: give either the columns of the answers, or choices alike for all")
        if isinstance(self.source, Hub):
            unknown = {part.from_ for part in self.parts().values()} - set(self.rows)
            if unknown:
                raise ValueError(f"rows: lacks {sorted(unknown)}: how many rows has each split of the source?")
        if self.train.rows is not None:
            raise ValueError(
                f"train.rows: is {self.train.rows}, but train is what the other splits leave: leave it out"
            )
        for split, rows in self.rows.items():
            if rows.labels is not None and sum(rows.labels) != rows.rows:
                raise ValueError(f"rows.{split}: the labels add up to {sum(rows.labels)}, rows is {rows.rows}")
        return self

    def _check_labels(self) -> None:
        of_reals = {"pearson", "spearman"}
        if self.problem == "regression":
            if self.classes is not None or self.relabel is not None or self.answers is not None:
                raise ValueError("classes, relabel, answers: a regression has none; leave them out")
            if self.range is None:
                raise ValueError("range: is missing; a regression names its least and greatest label")
            if not set(self.metrics) <= of_reals:
                raise ValueError(f"metrics: {self.metrics} are not all of real numbers; a regression has {of_reals}")
            return
        if self.range is not None or set(self.metrics) & of_reals:
            raise ValueError("range, pearson and spearman: are of a regression; say problem: regression")
        if self.num_classes < 2:
            raise ValueError(f"classes: is {self.classes}; a classification has two or more")
        if self.relabel is not None and set(self.relabel) != set(range(self.num_classes)):
            raise ValueError(f"relabel: {self.relabel} should name every one of the {self.num_classes} classes")
        if self.answers is not None and len(set(self.answers)) != self.num_classes:
            raise ValueError(f"answers: {self.answers} should name each of the {self.num_classes} classes once")


def load(path: Path = REGISTRY) -> dict[str, TaskSpec]:
    """Return the registry's entries by name; ValueError as in frod.entries.load."""
    return entries.load(TaskSpec, path)


def get(name: str) -> TaskSpec:
    """Return one task; ValueError with the known names where there is none of this name."""
    return entries.get(load(), "task", name)
