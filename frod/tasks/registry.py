"""The benchmarks, typed: what registry.yaml says of each task, checked when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from frod import entries
from frod.entries import Count, Entry

REGISTRY = Path(__file__).with_name("registry.yaml")


class Hub(Entry):
    """A data set of the Hugging Face Hub, in parquet files."""

    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+@[0-9a-f]{40}$")]
    """id@revision; the revision is a commit, so that the data cannot change under a finished study."""
    config: str = "default"
    files: dict[str, str] = {}
    """Pattern of a split's files where it is not CONFIG/SPLIT-*.parquet."""

    @property
    def id(self) -> str:
        return self.hub.partition("@")[0]

    @property
    def revision(self) -> str:
        return self.hub.partition("@")[2]

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
    """A folder of parquet files, SPLIT-*.parquet or SPLIT.parquet, with the columns that `columns` names."""

    path: Path


class Columns(Entry):
    """Which columns of a table hold what."""

    text: list[str] = []
    """One or two columns of sentences."""
    image: str | None = None
    label: str = "label"
    id: str | None = None
    """Column of example numbers; null: the position in the source."""


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
    source: Hub | Package | Generator | Local
    licence: str
    synthetic: bool = False
    columns: Columns = Columns()
    rows: dict[str, Rows] = {}
    """By split of the source."""
    classes: Annotated[list[str], Field(min_length=2)]
    relabel: list[int] | None = None
    """Class of each class of the source; null: the source's own."""
    train: Part
    validation: Part
    test: Part
    metrics: Annotated[
        list[Literal["accuracy", "matthews_correlation", "f1", "pearson", "spearman"]], Field(min_length=1)
    ]
    """The first is the one that selection and report follow."""

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @model_validator(mode="after")
    def _consistent(self) -> TaskSpec:
        if self.relabel is not None and set(self.relabel) != set(range(self.num_classes)):
            raise ValueError(f"relabel: {self.relabel} should name every one of the {self.num_classes} classes")
        if isinstance(self.source, Generator) and not self.synthetic:
            raise ValueError("synthetic: is false, but the source is a generator; say synthetic: true")
        if isinstance(self.source, Hub | Local):
            columns, wanted = self.columns, "image" if self.kind == "images" else "text"
            if not getattr(columns, wanted):
                raise ValueError(f"columns.{wanted}: is missing, kind {self.kind} needs it")
        if self.train.rows is not None:
            raise ValueError(
                f"train.rows: is {self.train.rows}, but train is what the other splits leave: leave it out"
            )
        for split, rows in self.rows.items():
            if rows.labels is not None and sum(rows.labels) != rows.rows:
                raise ValueError(f"rows.{split}: the labels add up to {sum(rows.labels)}, rows is {rows.rows}")
        return self


def load(path: Path = REGISTRY) -> dict[str, TaskSpec]:
    """Return the registry's entries by name; ValueError as in frod.entries.load."""
    return entries.load(TaskSpec, path)


def get(name: str) -> TaskSpec:
    """Return one task; ValueError with the known names where there is none of this name."""
    return entries.get(load(), "task", name)
