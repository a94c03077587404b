"""What is measured where: one `Setting` per configuration, and those that `python -m bench` goes through by itself."""

import argparse
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from bench.methods import METHODS
from bench.models import SHAPES

RESULTS = Path(__file__).parent / "results"
WITHOUT_PEFT_FROD = ("full_ft", "frod", "lora", "vera")
COMPARED = (*WITHOUT_PEFT_FROD, "peft_frod", "peft_dropin")
DTYPES = ("float32", "bfloat16")
TURNS = ("step", "block")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One configuration.

    Attributes
    ----------
    model : str
        A shape of `bench.models`.
    layers : int
        Blocks; 0 for as many as the model has. Fewer of a model that is too large to be trained in full.
    batch, length : int
        Examples of a micro-batch, and tokens of each; length is ignored for images.
    accumulation : int
        Micro-batches of an optimiser step.
    device : str
    dtype : {"float32", "bfloat16"}
        Of the weights; autocast is not used.
    sparse_rate : float
    methods : tuple of str
    rounds : int
        Timed rounds; one more, first, is not counted.
    turns : {"step", "block"}
        "step": all models are in memory and take turns step by step. "block": one model at a time is, for
        `block_steps` steps, and the blocks take turns.
    threads : int
        Of torch on the CPU; 0 for its own choice.
    """

    model: str = "clip-vit-b32"
    layers: int = 0
    batch: int = 64
    length: int = 128
    accumulation: int = 1
    device: str = "cpu"
    dtype: str = "float32"
    sparse_rate: float = 0.01
    methods: tuple[str, ...] = COMPARED
    rounds: int = 4
    turns: str = "step"
    block_steps: int = 3
    threads: int = 0

    def __post_init__(self) -> None:
        choices = {"model": tuple(SHAPES), "dtype": DTYPES, "turns": TURNS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is none of {', '.join(known)}.")
        for method in self.methods:
            if method not in METHODS:
                raise ValueError(f"methods: {method!r} is none of {', '.join(METHODS)}.")
        for name in ("batch", "length", "accumulation", "rounds", "block_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
        if not 0 <= self.layers <= SHAPES[self.model].layers:
            raise ValueError(f"layers={self.layers}: {self.model} has {SHAPES[self.model].layers}; 0 takes all.")

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.layers or SHAPES[self.model].layers

    @property
    def shape_key(self) -> str:
        """What the basis depends on, as a file name."""
        cut = f"-l{self.layers}" if self.depth != SHAPES[self.model].layers else ""
        return f"{self.device.split(':')[0]}-{self.model}{cut}"

    @property
    def key(self) -> str:
        """The configuration as a file name."""
        more = f"-a{self.accumulation}" if self.accumulation > 1 else ""
        return f"{self.shape_key}-b{self.batch}{more}"

    @property
    def tokens(self) -> int:
        """Tokens of one optimiser step."""
        return self.accumulation * self.batch * SHAPES[self.model].tokens(self.length)

    def record(self) -> dict[str, Any]:
        """The fields, for a result file."""
        return asdict(self) | {"layers": self.depth, "layers_of_model": SHAPES[self.model].layers}

    def arguments(self) -> list[str]:
        """The fields as the command line takes them."""
        words: list[str] = []
        for name, value in asdict(self).items():
            words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, tuple) else [str(value)])]
        return words


def parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A command line with an option per field of `Setting`, and `--out`."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    base = replace(Setting(), **defaults)
    for field in fields(Setting):
        value = getattr(base, field.name)
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(value, tuple):
            result.add_argument(option, nargs="+", default=value, help=f"default: {' '.join(value)}")
        else:
            result.add_argument(option, type=type(value), default=value, help=f"default: {value}")
    result.add_argument("--out", type=Path, default=RESULTS, help="folder of the result files")
    return result


def setting_of(arguments: argparse.Namespace) -> Setting:
    """The setting that a command line names, and torch's threads set to its; exits with the reason if none is such."""
    values = {field.name: getattr(arguments, field.name) for field in fields(Setting)}
    try:
        setting = Setting(**values | {"methods": tuple(values["methods"])})
    except ValueError as error:
        raise SystemExit(str(error)) from error
    if setting.threads:
        torch.set_num_threads(setting.threads)
    return setting


CLIP_CPU = Setting()
ON_GPU = Setting(device="cuda", dtype="bfloat16", rounds=10)
LLAMA = replace(
    ON_GPU,
    model="llama-2-7b",
    batch=4,
    length=512,
    layers=8,
    methods=WITHOUT_PEFT_FROD,
    turns="block",
    rounds=3,
    sparse_rate=0.02,
)

# What is measured of each: "step" with the profile, "memory", "basis", "attach", "category" and "input".
STEPPED = ("step", "memory")
SUITES: dict[str, dict[str, tuple[Setting, tuple[str, ...]]]] = {
    "cpu": {
        "clip-64": (CLIP_CPU, STEPPED),
        "clip-16": (replace(CLIP_CPU, batch=16, rounds=6), STEPPED),
        "clip-input": (replace(CLIP_CPU, rounds=8, threads=1), ("input",)),
        "clip-basis": (replace(CLIP_CPU, rounds=3), ("basis", "attach")),
        "llama-basis": (replace(LLAMA, layers=0, rounds=1, device="cpu", methods=("frod",)), ("category",)),
    },
    "cuda": {
        "clip-64": (ON_GPU, STEPPED),
        "clip-256": (replace(ON_GPU, batch=256), STEPPED),
        "clip-basis": (replace(ON_GPU, rounds=3), ("basis", "attach")),
        "roberta": (replace(ON_GPU, model="roberta-large", sparse_rate=0.02), STEPPED),
        "llama": (LLAMA, STEPPED),
        "llama-8": (replace(LLAMA, accumulation=8), STEPPED),
        "llama-basis": (replace(LLAMA, layers=0, rounds=1, methods=("frod",)), ("basis",)),
    },
}
TINY = Setting(model="tiny", batch=2, rounds=2)
