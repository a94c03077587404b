"""How fast multiply-adds are and how large activations: from bench/results, or a speed that the user states."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frod.config import Method
from frod.cost.skeleton import Skeleton

Record = dict[str, Any]

BENCHED = {"clip-vit-b32": "clip_vit_b32", "roberta-large": "roberta_large", "llama-2-7b": "llama2_7b"}
"""Registry's names of the shapes that bench/ measures."""
MEASURED = {"VeraConfig": "vera", "RandLoraConfig": "vera"}
"""Which measured method a class of peft is like; all others are like LoRA."""
ITEMSIZE = {"float32": 4, "bfloat16": 2}
STATES = 12  # bytes of a trained number's gradient and AdamW's two moments


def like(tuner: Method) -> str:
    """Name of the measured method that a method is like; a linear probe is full fine-tuning's forward pass."""
    if tuner.kind == "peft":
        return MEASURED.get(tuner.config or "", "lora")
    return "frod" if tuner.kind == "frod" else "full_ft"


@dataclass(frozen=True, kw_only=True)
class Point:
    """What was measured of one method at one setting."""

    device: str
    method: str
    tokens: int
    """Of an optimiser step."""
    speed: float
    """Multiply-adds per second and CPU thread, or of the GPU."""
    activation: float | None
    """Bytes that a token keeps, in float32, for each number that goes in or out of a linear layer; None: not known."""
    before: int
    """Bytes of the process before there is a model; 0 on a GPU and where not measured."""
    place: str


class Measured:
    """The results of one kind of device.

    Parameters
    ----------
    folder : Path
        bench/results.
    device : {"cpu", "cuda"}
    skeleton : callable
        Backbone's name and number of blocks (None: its own) -> Skeleton.
    tflops : float, optional
        Sustained speed in 10^12 floating-point operations a second, two to a multiply-add; then nothing measured is
        used for time.

    Raises
    ------
    ValueError
        There is no result of the device, and no tflops.
    """

    def __init__(
        self, folder: Path, device: str, skeleton: Callable[[str, int | None], Skeleton], tflops: float | None
    ) -> None:
        self.device, self.tflops = device, tflops
        steps, memories = _read(folder, "step"), _read(folder, "memory")
        found = [point for key, one in steps.items() for point in _points(one, memories.get(key), skeleton)]
        self.points = [point for point in found if point.device == device]
        self.elsewhere = [point for point in found if point.device != device]
        if not self.points and tflops is None:
            raise ValueError(
                f"--device {device}: {folder} has no step-{device}-*.json, so no speed is known; measure with "
                f"`make bench{'-gpu' if device == 'cuda' else ''}`, or assume one with --tflops"
            )

    def seconds(self, multiply_adds: float, tuner: Method, tokens: int, threads: int) -> float:
        """Time of so many multiply-adds of a method's steps of so many tokens."""
        if self.tflops is not None:
            return multiply_adds / (self.tflops * 1e12 / 2)
        point = self._nearest(self.points, like(tuner), tokens)
        return multiply_adds / (point.speed * (threads if self.device == "cpu" else 1))

    def activation(self, tuner: Method, tokens: int) -> float:
        """Bytes that a token keeps, in float32, for each number that goes in or out of a linear layer."""
        for points in (self.points, self.elsewhere):
            known = [point for point in points if point.activation is not None]
            if known:
                return self._nearest(known, like(tuner), tokens).activation or 0.0
        raise ValueError("bench/results has no memory-*.json beside its step-*.json; measure with `make bench`")

    @property
    def before(self) -> int:
        """Bytes of a process before there is a model."""
        return max((point.before for point in self.points), default=0)

    def notes(self, tuners: dict[str, Method]) -> list[str]:
        """What the figures are from, and which method counts like which, in lines for the reader."""
        if self.tflops is not None:
            lines = [
                f"Assumed, not measured: {self.tflops:g} Tflop/s sustained, the same for every method's multiply-adds; "
                "those of peft's adapters themselves are left out."
            ]
        else:
            lines = [f"Speeds are measured: {'; '.join(dict.fromkeys(point.place for point in self.points))}."]
            if self.device == "cpu":
                lines[0] += " They are taken in proportion to the threads of a job."
        others = [f"{name} like {like(tuner)}" for name, tuner in tuners.items() if name != like(tuner)]
        if others:
            lines.append(f"Not measured, so counted like the nearest that is: {', '.join(others)}.")
        if not any(point.activation is not None for point in self.points):
            kind = ", ".join(dict.fromkeys(point.device for point in self.elsewhere))
            lines.append(f"Activations: of the results on {kind}, as there are none of {self.device}.")
        return lines

    @staticmethod
    def _nearest(points: list[Point], method: str, tokens: int) -> Point:
        fitting = [p for p in points if p.method == method] or [p for p in points if p.method == "full_ft"]
        return min(fitting, key=lambda point: abs(math.log(point.tokens / tokens)))


def _read(folder: Path, kind: str) -> dict[str, Record]:
    found = {path.stem.removeprefix(f"{kind}-"): json.loads(path.read_text()) for path in folder.glob(f"{kind}-*.json")}
    return {key: found[key] for key in sorted(found) if isinstance(found[key], dict) and found[key].get("kind") == kind}


def _points(step: Record, memory: Record | None, skeleton: Callable[[str, int | None], Skeleton]) -> Iterator[Point]:
    """What a result says of each method; nothing of a shape that no backbone has."""
    setting, machine = step["setting"], step["machine"]
    if setting["model"] not in BENCHED:
        return
    device = setting["device"].split(":")[0]
    fewer = setting["layers"] if setting["layers"] != setting["layers_of_model"] else None
    model = skeleton(BENCHED[setting["model"]], fewer)
    length = setting["length"] if model.image is None else model.image_tokens
    examples, itemsize = setting["batch"] * setting["accumulation"], ITEMSIZE[setting["dtype"]]
    gpu = machine.get("gpu", {}).get("name")
    place = f"{setting['model']} on {gpu or machine['processor']}"
    for method, row in step["methods"].items():
        tuner = _tuner(method, setting["sparse_rate"])
        if tuner is None or "median" not in row:
            continue
        shape = {"examples": examples, "length": length, "device": device, "itemsize": itemsize}
        used = {} if memory is None else memory["methods"].get(method, {})
        activation = None
        if "peak_steps" in used:
            # Half-precision weights are trained as they are there, adapters in float32.
            held = itemsize * model.body + (3 * itemsize if method == "full_ft" else STATES) * row["trained"]
            held += model.kept(tuner, **shape)
            per_token = (used["peak_steps"] - used["before"] - held) / (setting["batch"] * length)
            activation = max(per_token, 0.0) / model.width / itemsize * 4
        yield Point(
            device=device,
            method=method,
            tokens=examples * length,
            speed=model.step(tuner, **shape) / row["median"] / (1 if gpu else machine["threads"]),
            activation=activation,
            before=used.get("before", 0),
            place=place,
        )


def _tuner(method: str, sparse_rate: float) -> Method | None:
    """The measured methods as a suite has them; None for those that no suite has."""
    known = {
        "full_ft": Method(kind="full_ft"),
        "frod": Method(kind="frod", sparse_rate=sparse_rate),
        "lora": Method(kind="peft", config="LoraConfig"),
        "vera": Method(kind="peft", config="VeraConfig"),
    }
    return known.get(method)
