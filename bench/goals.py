"""The figures that FRoD is to reach, and whether the results do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One figure of one configuration.

    Attributes
    ----------
    kind : {"step", "memory", "basis", "category", "input"}
        Which result it is read from.
    where : dict
        Fields of the setting.
    what : {"full_ft", "peft_frod", "cold", "cold seconds", "float32", "cached", "cached seconds", "GiB"}, or a source
        Ratio of a step or of its memory to a method's; of a set-up to peft's; or seconds; or the peak of float64; or of
        an input's seconds, prepared (or in the way named behind the source), to the quickest other way's.
    limit : float
        The figure may not exceed it.
    any_depth : bool
        Whether a model with fewer blocks than it has will do.
    method : {"frod", "peft_dropin"}
        Whose step, memory or set-up it is.
    """

    kind: str
    where: dict[str, Any]
    what: str
    limit: float
    any_depth: bool = False
    method: str = "frod"

    def fits(self, record: Record) -> bool:
        """Whether a result is of this goal's configuration."""
        setting = record["setting"] | {"device": record["setting"]["device"].split(":")[0]}
        deep_enough = self.any_depth or setting["layers"] == setting["layers_of_model"]
        return deep_enough and all(setting[name] == value for name, value in self.where.items())

    def measured(self, record: Record) -> float | None:
        """The figure in a result; None if what it compares was not measured."""
        if self.kind == "input":
            source, _, way = self.what.partition(" ")
            found = record["sources"].get(source)
            ratios = {} if found is None else found["methods"][way or "prepared"]["ratio_to"]
            return max((ratio["median"] for ratio in ratios.values()), default=None)
        methods = record["methods"]
        if self.kind == "step":
            return methods.get(self.method, {}).get("ratio_to", {}).get(self.what, {}).get("median")
        if self.kind == "memory":
            return methods.get(self.method, {}).get("ratio_to", {}).get(self.what)
        if self.kind == "category":
            return methods["float64"]["peak"] / 2**30
        way, _, unit = self.what.partition(" ")
        way = record["default"] if way == "cold" and self.method == "frod" else way
        row = methods.get(f"{self.method}_{way}", {})
        return row.get("median") if unit else row.get("ratio_to", {}).get("peft_frod", {}).get("median")

    def in_words(self) -> str:
        """What is limited."""
        if self.kind == "category":
            return "peak GiB of one category's basis"
        if self.kind == "input":
            return f"input, {self.what} / made again"
        if self.kind == "basis":
            way, _, unit = self.what.partition(" ")
            way = "cold, float32" if way == "float32" else way
            return f"basis {way}, {unit}" if unit else f"{self._whose}basis {way} / peft's set-up"
        reference = {"full_ft": "full fine-tuning", "peft_frod": "peft's FRoD"}[self.what]
        return f"{self._whose}{self.kind} / {reference}"

    @property
    def _whose(self) -> str:
        return "" if self.method == "frod" else "drop-in's "


CLIP = {"device": "cpu", "model": "clip-vit-b32", "dtype": "float32", "accumulation": 1, "sparse_rate": 0.01}
CLIP_GPU = CLIP | {"device": "cuda", "dtype": "bfloat16"}
ROBERTA = CLIP_GPU | {"model": "roberta-large", "batch": 64, "length": 128, "sparse_rate": 0.02}
LLAMA = CLIP_GPU | {"model": "llama-2-7b", "batch": 4, "length": 512, "sparse_rate": 0.02}

GOALS = (
    Goal(kind="step", where=CLIP | {"batch": 64}, what="full_ft", limit=1.30),
    Goal(kind="step", where=CLIP | {"batch": 64}, what="peft_frod", limit=0.22),
    Goal(kind="memory", where=CLIP | {"batch": 64}, what="full_ft", limit=1.1),
    Goal(kind="step", where=CLIP | {"batch": 16}, what="full_ft", limit=2.2),
    Goal(kind="step", where=CLIP | {"batch": 16}, what="peft_frod", limit=0.60),
    Goal(kind="basis", where=CLIP, what="cold", limit=0.5),
    Goal(kind="basis", where=CLIP, what="float32", limit=0.5),
    Goal(kind="basis", where=CLIP, what="cached seconds", limit=1.0),
    Goal(kind="basis", where=CLIP, what="cached", limit=0.03),
    Goal(kind="step", where=CLIP | {"batch": 64}, what="peft_frod", limit=0.25, method="peft_dropin"),
    Goal(kind="memory", where=CLIP | {"batch": 64}, what="peft_frod", limit=0.8, method="peft_dropin"),
    Goal(kind="basis", where=CLIP, what="cold", limit=0.5, method="peft_dropin"),
    Goal(kind="basis", where=CLIP, what="cached", limit=0.03, method="peft_dropin"),
    Goal(kind="input", where=CLIP | {"batch": 64}, what="photographs", limit=0.05),
    Goal(kind="input", where=CLIP | {"batch": 64}, what="photographs uint8", limit=0.05),
    Goal(kind="input", where=CLIP | {"batch": 64}, what="mnist", limit=0.05),
    Goal(kind="input", where=CLIP | {"batch": 64}, what="mnist uint8", limit=0.05),
    Goal(kind="category", where={"device": "cpu", "model": "llama-2-7b"}, what="GiB", limit=16.0),
    Goal(kind="step", where=CLIP_GPU | {"batch": 64}, what="full_ft", limit=1.4),
    Goal(kind="memory", where=CLIP_GPU | {"batch": 64}, what="full_ft", limit=0.6),
    Goal(kind="step", where=CLIP_GPU | {"batch": 256}, what="full_ft", limit=1.15),
    Goal(kind="memory", where=CLIP_GPU | {"batch": 256}, what="full_ft", limit=0.6),
    Goal(kind="step", where=ROBERTA, what="full_ft", limit=1.25),
    Goal(kind="memory", where=ROBERTA, what="full_ft", limit=0.6),
    # Fewer blocks may stand for all 32, which few accelerators can train in full. The shared bases and the embedding
    # weigh more then.
    Goal(kind="step", where=LLAMA, what="full_ft", limit=1.5, any_depth=True),
    Goal(kind="memory", where=LLAMA, what="full_ft", limit=0.35, any_depth=True),
    Goal(kind="step", where=LLAMA | {"accumulation": 8}, what="full_ft", limit=1.2, any_depth=True),
    Goal(kind="memory", where=LLAMA | {"accumulation": 8}, what="full_ft", limit=0.35, any_depth=True),
    Goal(
        kind="basis",
        where={"device": "cuda", "model": "llama-2-7b", "dtype": "bfloat16"},
        what="cold seconds",
        limit=120.0,
    ),
)


def judged(results: dict[str, list[Record]], device: str | None = None) -> Iterator[tuple[Goal, Record | None]]:
    """Each goal, of one kind of device or of all, with the result that it is read from: the deepest model's, if any."""
    for goal in GOALS:
        if device in (None, goal.where["device"]):
            fitting = [record for record in results[goal.kind] if goal.fits(record)]
            yield goal, max(fitting, key=lambda record: record["setting"]["layers"], default=None)
