"""The adapted linear layer, in residual form: W' = W + U (diag(lambda - lambda_0) + S) V^T.

U diag(lambda_0) V^T is W itself, so this is FRoD's U (diag(lambda) + S) V^T without its rounding: at the start
lambda = lambda_0 and S = 0, W' = W + 0, and the layer calls the very operation the frozen layer would, on the very same
numbers. The output is equal bit for bit in every dtype.

`scale` holds lambda itself and not its change: an optimiser that decays or normalises lambda then does to it what it
does in the released code.

Shapes: T tokens, m out_features, n in_features, k entries of S.
"""

import warnings
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from frod.method import strategies
from frod.method.plan import STRATEGIES, Plan, Strategy, choose
from frod.method.products import SharedBasis
from frod.method.targets import Target
from frod.method.weights import AdaptedWeight

# A smallest lambda_0 below this share of the median is too far from the rest for half precision.
EVEN = 1 / 64


class FrodLinear(AdaptedWeight):
    """A frozen linear layer with FRoD's trainable lambda (`scale`) and S (`rotation`).

    Parameters
    ----------
    base : nn.Linear, transformers' Conv1D, a quantised layer, or FusedSlice
    shared : SharedBasis
        V and V^-T, one object for the whole category.
    lambda_0 : Tensor of shape (n,)
        Where lambda starts, with U diag(lambda_0) V^T = W.
    plan : {"auto", "materialised", "factored", "input_side"}
        Of training steps. Over quantised weights it is always "input_side".
    solve : bool
        Form U by solving with V in float64 instead of multiplying by the stored inverse: for a badly conditioned V.
    """

    def __init__(
        self,
        base: Target,
        shared: SharedBasis,
        *,
        category: str,
        lambda_0: Tensor,
        plan: Plan = "auto",
        solve: bool = False,
    ) -> None:
        super().__init__(base, shared, category=category, lambda_0=lambda_0, solve=solve)
        self.plan: Plan = "input_side" if self.quantised else plan
        used = lambda_0[lambda_0 > 0]
        self.even = used.numel() == 0 or bool(used.min() >= EVEN * used.median())
        self.micro_batches = 1  # set by frod.accumulating

    def forward(self, x: Tensor) -> Tensor:
        """Apply x W'^T + bias to x of shape (..., n)."""
        if torch.compiler.is_compiling():
            from frod.method.uncompiled import call

            return call(FrodLinear.compute, self, x)
        return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """What `forward` does, whether or not the model around it is compiled."""
        if self.quantised:
            return self._forward_over_quantised(x)
        # What autocast would do to the operands of the frozen layer is done by hand: inside a Function it would also
        # reach the small exact products, and be off in the backward.
        x = x.to(self._operand_dtype(x))
        with torch.autocast(x.device.type, enabled=False):
            if self.active is None:
                return self.apply_base(x)
            if x.numel() == 0:  # an expert without tokens: nothing to compute, and gradients of zero
                scale, rotation = self.in_graph()
                return self.apply_base(x) + 0 * (scale.sum() + rotation.sum()).to(x.dtype)
            # Reentrant checkpointing computes a training step's first forward without gradients: it keeps to the plan.
            if torch.is_grad_enabled() or self.training:
                return self._train_forward(x)
            if self.plan == "input_side":
                return strategies.input_side(self, x)
            return self._or_without_weight(x, lambda: self.apply_base(x, self.effective_weight().to(x.dtype)))

    def _forward_over_quantised(self, x: Tensor) -> Tensor:
        """Give the base x in its own dtype, and under autocast if that is on: it answers to both by rules of its own.

        Only the products around it are in the dtype autocast asks for.
        """
        if self.active is not None and x.numel():
            dtype = self._operand_dtype(x)
            with torch.autocast(x.device.type, enabled=False):
                x = strategies.changed_input(self, x, dtype)
        return self.apply_base(x)

    def _train_forward(self, x: Tensor) -> Tensor:
        strategy = self.strategy(x.numel() // self.in_features, x.element_size())
        if strategy == "materialised":
            return self._or_without_weight(x, lambda: strategies.materialised(self, x))
        self._formed = None  # some optimisers write past the version counters, so training drops it, too
        if strategy == "input_side":
            return strategies.input_side(self, x)
        return self._or_without_weight(x, lambda: strategies.factored(self, x))

    def _or_without_weight(self, x: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Compute; if U or W' finds no room on the device, go over to the plan that needs neither, and say so."""
        try:
            return compute()
        except torch.OutOfMemoryError as error:
            # Going over would lose the step's other micro-batches, or digits.
            itemsize = x.element_size()
            if self.plan != "auto" or self._dW is not None or not self.input_side_serves(itemsize):
                error.add_note(self.lighter(itemsize))
                raise
        warnings.warn(
            f"no room on {x.device} for U or W' ({self.out_features} x {self.in_features}): this layer goes on with "
            "plan='input_side', which needs neither. Ask for it from the start to save the attempt.",
            ResourceWarning,
            stacklevel=2,
        )
        self.plan, self.Ut = "input_side", None
        self.drop_cache()
        return strategies.input_side(self, x)

    def strategy(self, T: int, itemsize: int = 4) -> Strategy:
        """How a training step over T tokens is computed."""
        if self.quantised:
            return "input_side"
        if self._dW is not None:
            return "materialised"  # the gradients of the step's other micro-batches wait for the last one's
        shape = {"T": T * self.micro_batches, "m": self.out_features, "n": self.in_features, "k": self.rotation.numel()}
        accurate = STRATEGIES if self.input_side_serves(itemsize) else STRATEGIES[:2]
        device = self.frozen.device.type
        return choose(self.plan, **shape, device=device, itemsize=itemsize, strategies=accurate)

    def _operand_dtype(self, x: Tensor) -> torch.dtype:
        """The dtype the frozen layer would multiply in, as autocast (which leaves float64 alone) or x has it."""
        if torch.is_autocast_enabled(x.device.type) and torch.float64 not in (x.dtype, self.frozen.dtype):
            return torch.get_autocast_dtype(x.device.type)
        if x.dtype != self.frozen.dtype and not self.quantised:
            raise ValueError(
                f"the input is {x.dtype}, the weight {self.frozen.dtype}; cast one of them, or use autocast."
            )
        return x.dtype

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; drops the weight formed for evaluation."""
        self._formed = None
        return super().train(mode)

    def extra_repr(self) -> str:
        """Sizes and plan, for `print(model)`."""
        return f"in_features={self.in_features}, out_features={self.out_features}, plan={self.plan!r}"


def all_layers(model: nn.Module) -> list[FrodLinear]:
    """The adapted layers of all adapters of a model, each once."""
    return [module for module in model.modules() if isinstance(module, FrodLinear)]
