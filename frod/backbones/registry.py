"""The models, typed: what registry.yaml says of each backbone, checked when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from frod.config import schema
from frod.config.schema import Count, HubSource, Inside, Name, OwnPath, StrictModel

REGISTRY = Path(__file__).with_name("registry.yaml")
VOCABULARY = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
)
USUAL = ("config.json", "model*.safetensors")
MAYBE = (
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    *VOCABULARY,
)


FURTHER = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "auto_map",
    "attn_implementation", "experts_implementation", "trust_remote_code",
}  # fmt: skip
"""Arguments of the libraries by which weights or code would come from elsewhere."""


class Hub(HubSource):
    """A model of the Hugging Face Hub."""

    files: list[Inside] = []
    """Patterns of the files needed; nothing else is fetched. Where none are given: the library's usual files."""
    gated: bool = False
    """Whether the Hub wants a licence accepted and a token."""
    config: dict[str, Any] = {}
    """What differs from the model's config.json."""

    @property
    def needed(self) -> tuple[str, ...]:
        """Patterns that must each match a file."""
        if not self.files:
            return USUAL
        # A tokenizer.json holds all of a fast tokenizer: the vocabulary files next to it may be missing.
        spare = VOCABULARY if "tokenizer.json" in self.files else ()
        return tuple(pattern for pattern in self.files if pattern not in spare)

    @property
    def optional(self) -> tuple[str, ...]:
        """Patterns that may match none."""
        return tuple(pattern for pattern in self.files or MAYBE if pattern not in self.needed)


class Package(StrictModel):
    """Weights that an installed Python package ships."""

    package: str
    folder: Inside
    """Below site-packages."""
    files: Annotated[list[Inside], Field(min_length=1)]
    sha256: dict[Inside, str] = {}


class Local(StrictModel):
    """A folder in the library's own layout."""

    path: OwnPath
    """Of the folder: config.json, weights in safetensors, and a tokenizer's files."""
    config: dict[str, Any] = {}
    """What differs from the model's config.json."""


class Architecture(StrictModel):
    name: Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
    """Of the library: timm's model, transformers' model type; no address that timm would fetch from."""
    arguments: dict[str, Any]

    @model_validator(mode="after")
    def _shape_alone(self) -> Architecture:
        """Weights come from the source, whose hashes are kept, and code from the libraries."""
        further = sorted(FURTHER & self.arguments.keys())
        if further:
            raise ValueError(f"arguments: {further} are not of a model's shape; leave them out")
        return self


class Onnx(Package):
    """Weights in an ONNX file that an installed Python package ships: those of one part of its graph."""

    files: Annotated[list[Inside], Field(min_length=1, max_length=1)]
    part: str
    """What the names of the part's weights begin with, such as `backbone.`; the rest of the graph is left out."""
    joined: dict[str, list[str]] = {}
    """Weights that the export has in pieces, under names of its own: joined along their second axis."""
    architecture: Architecture
    """Of the part: its config.json."""
    preprocessor: dict[str, Any]
    """How the model wants its images: its preprocessor_config.json."""

    @model_validator(mode="after")
    def _known(self) -> Onnx:
        if set(self.sha256) != set(self.files):
            raise ValueError(f"sha256: is of {sorted(self.sha256)}; give that of {self.files[0]}")
        return self


class Settings(StrictModel):
    steps: Count
    batch_size: Count
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]


class Pretrained(StrictModel):
    """A model trained from scratch by this project, on one thread in under a minute."""

    pretraining: Literal["rotation", "next_word"]
    data: str
    """Task whose training data the pre-training may see, without their labels."""
    lines: Count | None = None
    """Lines of generated text."""
    architecture: Architecture
    settings: Settings
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Of the pre-training; null: the split's."""


class BackboneSpec(StrictModel):
    """One model."""

    title: str
    """What the report calls it."""
    library: Literal["transformers", "timm"]
    """What loads it."""
    licence: str
    """Of the weights; printed in the report."""
    max_length: Count | None = None
    """Tokens of a text, special ones included; null: the model takes images."""
    source: Hub | Package | Onnx | Local | Pretrained
    """Where the weights are: of the Hub, of an installed package, your own folder, or pre-trained here."""
    architecture: Architecture | None = None
    """What the weights belong to, as published: `frod cost` counts by it before there are weights."""

    @model_validator(mode="after")
    def _consistent(self) -> BackboneSpec:
        if self.library == "timm" and self.max_length is not None:
            raise ValueError(f"max_length: is {self.max_length}, but timm's models take images: leave it out")
        if isinstance(self.source, Pretrained):
            _check_pretrained(self.library, self.source)
        return self

    @property
    def built_as(self) -> Architecture | None:
        """The architecture, also where the source says it; None where the entry does not say."""
        return self.source.architecture if isinstance(self.source, Pretrained | Onnx) else self.architecture

    @property
    def pretrained_on(self) -> str | None:
        """Task whose data the pre-training needs; None where nothing is trained."""
        return self.source.data if isinstance(self.source, Pretrained) else None


class Named(StrictModel):
    """A model and its name, as the workflow gives it to `frod backbone`."""

    name: Name
    backbone: BackboneSpec
    task: dict[str, Any] | None = None
    """Of a model that is pre-trained here, what it learns from."""
    seed: int | None = None
    """Of the split: the model learns from what is training data under it."""

    @model_validator(mode="after")
    def _whole(self) -> Named:
        if self.backbone.pretrained_on is not None and (self.task is None or self.seed is None):
            raise ValueError("task, seed: a model that is pre-trained here needs both")
        return self


def _check_pretrained(library: str, source: Pretrained) -> None:
    """Raise ValueError where the model is none that the pre-training can train."""
    rotation, where = source.pretraining == "rotation", "source.architecture.arguments"
    wanted, size = ("timm", "img_size") if rotation else ("transformers", "max_position_embeddings")
    arguments = source.architecture.arguments
    if library != wanted:
        raise ValueError(f"library: is {library}; pre-training by {source.pretraining} trains a model of {wanted}")
    if not isinstance(arguments.get(size), int):
        raise ValueError(f"{where}.{size}: is {arguments.get(size)}; pre-training needs a whole number")
    if rotation and arguments.get("in_chans") != 1:
        raise ValueError(
            f"{where}.in_chans: is {arguments.get('in_chans')}; pre-training sees images in grey: say in_chans: 1"
        )


def load(path: Path = REGISTRY) -> dict[str, BackboneSpec]:
    """Return the registry's entries by name; ValueError as in frod.config.schema.load."""
    return schema.load(BackboneSpec, path)
