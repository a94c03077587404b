"""What a backbone's cost follows from, counted on the meta device: parameters, multiply-adds, widths, bases.

Legend: T tokens of an example, m out_features, n in_features of a linear layer.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from frod.backbones.loading import head_modules, tokens
from frod.method import pattern
from frod.method.plan import CategoryPlan, plan_model

if TYPE_CHECKING:
    from torch import nn

    from frod.config import Method

# Multiply-adds of a step over those of its forward pass, where they do not depend on the size of the step: all of the
# weights' gradients, none of them, or no backward pass at all. What adapters add is left to the measured speeds.
PASSES = {"full_ft": 3, "peft": 2, "linear_probe": 1}


class Skeleton:
    """A model without numbers, and what is counted on it; each count is taken once.

    Parameters
    ----------
    model : nn.Module
        On the meta device, with a head of two outputs.
    image : dict, optional
        Size and channels of the images that it takes, as `input_facts` has them; None: it takes texts.
    itemsize : int
        Bytes of a number in the files of the weights.
    targets
        As for `frod.extract_basis`.
    """

    def __init__(self, model: nn.Module, *, image: dict[str, Any] | None, itemsize: int = 4, targets=None) -> None:
        self.model, self.image, self.targets, self.itemsize = model, image, targets, itemsize
        self.heads = head_modules(model)
        self._forward: dict[int, int] = {}
        self._plans: dict[tuple, list[CategoryPlan]] = {}
        self._trained: dict[str, int] = {}

    @cached_property
    def body(self) -> int:
        """Parameters without the head."""
        return sum(p.numel() for name, p in self.model.named_parameters() if not self._in_head(name))

    def head(self, outputs: int) -> int:
        """Parameters of a head of so many outputs."""
        import torch

        linear = [m for name in self.heads for m in self._module(name).modules() if isinstance(m, torch.nn.Linear)]
        two = sum(p.numel() for name in self.heads for p in self._module(name).parameters())
        return two + (outputs - 2) * (linear[-1].in_features + (linear[-1].bias is not None))

    @cached_property
    def image_tokens(self) -> int:
        """Tokens of an image: patches and the rest."""
        return tokens(self.model, self.image or {})

    @cached_property
    def width(self) -> int:
        """Sum of n + m over the linear layers of the body: what a token's activations are in proportion to."""
        return sum(n + m for n, m in self._linear)

    @cached_property
    def widest(self) -> int:
        """The largest n + m of one layer."""
        return max(n + m for n, m in self._linear)

    @cached_property
    def basis_bytes(self) -> int:
        """Of FRoD's basis on disk: V, its inverse and each layer's lambda_0, in float32."""
        return sum(row.basis_bytes + 4 * row.layers * row.n for row in self.plan(1, 0.0, "auto", "cpu", 4))

    def forward(self, length: int) -> int:
        """Multiply-adds of one example of so many tokens, forwards, attention included."""
        if length not in self._forward:
            self._forward[length] = _counted(self.model, self.image, length)
        return self._forward[length]

    def step(self, tuner: Method, *, examples: int, length: int, device: str, itemsize: int) -> int:
        """Multiply-adds of an optimiser step, forwards and backwards."""
        forward = examples * self.forward(length)
        if tuner.kind != "frod":
            return PASSES[tuner.kind] * forward
        rows = self.frod(tuner, examples=examples, length=length, device=device, itemsize=itemsize)
        # Beside the adapted layers, the frozen rest: forwards, and back to its inputs.
        return sum(row.multiply_adds for row in rows) + 2 * (forward - sum(row.full for row in rows) // 3)

    def frod(self, tuner: Method, *, examples: int, length: int, device: str, itemsize: int) -> list[CategoryPlan]:
        """How FRoD's layers are computed in a step."""
        return self.plan(examples * length, tuner.sparse_rate, tuner.plan or "auto", device, itemsize)

    def kept(self, tuner: Method, *, examples: int, length: int, device: str, itemsize: int) -> int:
        """Bytes that a method keeps beside weights and what it trains: FRoD's V, its inverse, U and W'."""
        if tuner.kind != "frod":
            return 0
        rows = self.frod(tuner, examples=examples, length=length, device=device, itemsize=itemsize)
        return sum(row.basis_bytes + row.weight_bytes for row in rows)

    def plan(self, tokens: int, sparse_rate: float, plan: str, device: str, itemsize: int) -> list[CategoryPlan]:
        """As `frod.method.plan.plan_model`."""
        key = (tokens, sparse_rate, plan, device, itemsize)
        if key not in self._plans:
            self._plans[key] = plan_model(
                self.model,
                self.targets,
                tokens=tokens,
                sparse_rate=sparse_rate,
                plan=plan,
                device=device,
                itemsize=itemsize,
            )
        return self._plans[key]

    def trained(self, tuner: Method, matched: Method | None) -> int:
        """Numbers that a method trains outside the head."""
        if tuner.kind == "full_ft":
            return self.body
        if tuner.kind == "linear_probe":
            return 0
        if tuner.kind == "frod":
            rows = self.plan(1, tuner.sparse_rate, "auto", "cpu", 4)
            return sum(row.layers * (row.n + pattern.entries(row.n, tuner.sparse_rate)) for row in rows)
        key = tuner.model_dump_json() + ("" if matched is None else matched.model_dump_json())
        if key not in self._trained:
            self._trained[key] = self._adapters(tuner, matched)
        return self._trained[key]

    def _adapters(self, tuner: Method, matched: Method | None) -> int:
        from frod.tuners import size

        if matched is not None:
            tuner = size.match(self.model, tuner, matched, self.targets).tuner
        return size.count(tuner, size.shapes_of(self.model, self.targets))

    @cached_property
    def _linear(self) -> list[tuple[int, int]]:
        """(n, m) of the linear layers of the body."""
        import torch

        named = [(name, m) for name, m in self.model.named_modules() if isinstance(m, torch.nn.Linear)]
        return [(m.in_features, m.out_features) for name, m in named if not self._in_head(name)]

    def _module(self, name: str) -> nn.Module:
        return self.model.get_submodule(name)

    def _in_head(self, name: str) -> bool:
        return name.partition(".")[0] in self.heads


def _counted(model: nn.Module, image: dict[str, Any] | None, length: int) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if image is None:
            model(input_ids=torch.ones(1, length, dtype=torch.long, device="meta"))
        else:
            model(torch.zeros(1, image["channels"], *image["size"], device="meta"))
    return counter.get_total_flops() // 2
