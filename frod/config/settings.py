"""params.yaml: every setting with its default."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from frod.config.safe_yaml import shown
from frod.config.schema import Count, StrictModel

PUBLISHED = "published"
"""Folder of the reports that git keeps, next to those that a run writes."""

Protocol = Literal["audited", "released"]
BasisKind = Literal["shared", "layer_svd", "random"]


def _fit_for_a_shell(folder: str) -> str:
    """Folders stand in the rules' shell commands and among Snakemake's patterns."""
    if not re.fullmatch(r"[\w./@%+=:,][\w./@%+=:,-]{0,199}", folder):
        raise ValueError(
            f"is {shown(folder)}; a folder's name here has letters, digits and ./@%+=:,-_, at most 200 of them, and "
            "begins with no hyphen"
        )
    if PUBLISHED in folder.split("/"):
        raise ValueError(f"is {shown(folder)}; {PUBLISHED} holds the reports that git keeps: choose another folder")
    return folder


Folder = Annotated[str, AfterValidator(_fit_for_a_shell)]


class Paths(StrictModel):
    data: Folder = "data"
    """Folder of weights, prepared tasks and bases."""
    results: Folder = "results"
    """Folder of runs: results/SUITE/TASK/BACKBONE/METHOD/seed-N."""
    reports: Folder = "reports"
    """Folder of reports: reports/SUITE. Those that git keeps lie in reports/published/SUITE."""
    own: Folder = "mine"
    """Folder of your own data and weights. They may lie anywhere, but here DVC sees when they change."""
    mirror: str | None = None
    """Folder laid out like the Hub, looked up before it. The environment variable FROD_MIRROR comes first."""


class Basis(StrictModel):
    ridge: Annotated[float, Field(gt=0)] = 1e-3
    """Ridge pi of the joint decomposition."""
    dtype: Literal["float64", "float32"] = "float64"
    """Arithmetic of the decomposition; the basis itself is stored in float32."""
    parts: Annotated[int, Field(ge=1, le=1000)] = 1
    """Jobs that one basis is split into, by kind of layer, to run side by side; it does not change the basis."""


class Extraction(StrictModel):
    """What a basis depends on besides the weights, as the workflow gives it to `frod basis`."""

    kind: BasisKind
    ridge: Annotated[float, Field(gt=0)] | None
    """Of kind shared."""
    dtype: Literal["float64", "float32"]
    targets: list[str] | None

    @property
    def name(self) -> str:
        """Folder of this basis under data/bases/BACKBONE: bases of other settings do not overwrite each other."""
        name = self.kind if self.ridge is None else f"ridge-{str(self.ridge).removesuffix('.0')}-{self.dtype}"
        if self.targets is None:
            return name
        return f"{name}-{hashlib.sha256(json.dumps(self.targets).encode()).hexdigest()[:8]}"


class Split(StrictModel):
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the validation split (carved from train) and of the training subset."""


class Training(StrictModel):
    epochs: Annotated[float, Field(gt=0, le=10**6)] = 3
    """Passes over the training examples; fractions are allowed."""
    batch_size: Count = 32
    """Examples of one optimiser step."""
    accumulation: Count = 1
    """Micro-batches that one optimiser step is split into."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning rate after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay; never applied to FRoD's scaling factors, which are the pretrained weight."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; null: no clipping."""
    group_by_length: bool = True
    """Texts of like length in one batch, drawn again each epoch: little padding. Without effect on images."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""
    max_train: Count | None = None
    """At most so many training examples, the same for all methods and seeds (stratified); null: all."""
    max_validation: Count | None = None
    """At most so many validation examples; null: all."""

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Training:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}")
        return self


class Tracking(StrictModel):
    enabled: bool = True
    """Mirror runs to MLflow."""
    uri: str | None = None
    """Tracking store; null: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""


class Resources(StrictModel):
    threads: Count = 1
    """CPU threads of a training job, shared out among its processes. Results are bit for bit the same only for the same
    number."""
    nodes: Count = 1
    """Machines that a training job runs on, by SLURM. They share threads, processes and gpu, which count all of them
    together; mem_mb is of each."""
    processes: Count = 1
    """Processes of a training job, which share each batch: one GPU each where there are GPUs. Budget, order of examples
    and loss are those of one process, up to rounding; a finished run does not become stale by another number."""
    sharded: bool = False
    """Keep a piece of weights, gradients and optimiser in each process (FSDP2), for a model too large for one GPU."""
    mem_mb: Count = 4000
    """Memory of a training job, in MB, for schedulers."""
    runtime: Count = 240
    """Longest time of a training job, in minutes, for schedulers."""
    gpu: Annotated[int, Field(ge=0, le=1000)] = 0
    """GPUs of a training job."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Time between checkpoints, in seconds: what a killed training may lose."""

    @model_validator(mode="after")
    def _a_gpu_for_each_process(self) -> Resources:
        if self.gpu and self.processes > self.gpu:
            raise ValueError(f"processes is {self.processes}, gpu is {self.gpu}: each process takes a GPU of its own")
        for name in ("processes", "gpu"):
            if getattr(self, name) % self.nodes:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, nodes is {self.nodes}: give a multiple, for all nodes"
                )
        if self.sharded and self.processes == 1:
            raise ValueError("sharded is true, processes is 1: give the processes that the model is spread over")
        return self


class Cluster(StrictModel):
    gres: Annotated[str, Field(pattern="^[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?$")] = "gpu"
    """SLURM's name of a GPU: gpu, gpu:TYPE, or shard where the cluster's administrators have set up sharing."""
    gpu_slots: Count = 1
    """Trainings that share one GPU. On SLURM so many of one task and method run side by side in one job."""


class Params(StrictModel):
    """params.yaml: every setting with its default."""

    suite: str = "smoke"
    """Name of a file in workflow/suites, or a path to a suite file of your own."""
    protocol: Protocol = "audited"
    """audited: rates chosen by trials on validation, test read once, at the end. released: as the authors' scripts
    do, with the suite's rates, and test looked at after every epoch; its results are labelled so."""
    numerics: Literal["portable", "native"] = "portable"
    """portable: the same digits on every x86 processor with AVX2. native: what is quickest on the one at hand."""
    paths: Paths = Paths()
    basis: Basis = Basis()
    split: Split = Split()
    training: Training = Training()
    tracking: Tracking = Tracking()
    resources: Resources = Resources()
    cluster: Cluster = Cluster()
