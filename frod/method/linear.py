"""The adapted linear layer, in residual form: W' = W + U (diag(lambda - lambda_0) + S) V^T.

U diag(lambda_0) V^T is W itself, so this is FRoD's U (diag(lambda) + S) V^T without its rounding: at the start
lambda = lambda_0 and S = 0, W' = W + 0, and the layer calls the very operation the frozen layer would, on the very same
numbers. The output is equal bit for bit in every dtype.

`scale` holds lambda itself and not its change: an optimiser that decays or normalises lambda then does to it what it
does in the released code.

Shapes: T tokens, m out_features, n in_features, k entries of S. Numbers of the adapter are float32 (float64 for float64
weights), whatever the dtype of the weights.
"""

import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frod.method import ways
from frod.method.adapter import Adapter
from frod.method.plan import WAYS, Plan, Way, choose
from frod.method.products import SharedBasis, SparsePattern, on_device_only
from frod.method.quantised import follow, is_quantised
from frod.method.targets import Target, in_features, is_conv1d, out_features

# A smallest lambda_0 below this share of the median is too far from the rest for half precision.
EVEN = 1 / 64


class FrodLinear(nn.Module):
    """A frozen linear layer with FRoD's trainable lambda (`scale`) and S (`rotation`).

    Parameters
    ----------
    base : nn.Linear, transformers' Conv1D, a quantised layer, or Part
        Kept as it is, frozen.
    shared : SharedBasis
        V and V^-T, one object for the whole category.
    category : str
    lambda_0 : Tensor of shape (n,)
        Where lambda starts, with U diag(lambda_0) V^T = W.
    plan : {"auto", "materialised", "factored", "input_side"}
        How training steps are computed. Over quantised weights it is always "input_side".
    solve : bool
        Form U by solving with V in float64 instead of multiplying by the stored inverse: for a badly conditioned V.

    Attributes
    ----------
    Ut : Tensor of shape (n, m), or None
        U^T, from the first step that needs it: "input_side" never does, nor does a layer that is only loaded.
    adapters : ModuleDict of Adapter
        By name; `active` is the one that is used, None for the frozen layer alone.
    """

    Ut: Tensor | None
    lambda_0: Tensor

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
        super().__init__()
        self.base = base
        self.shared = shared
        self.category = category
        self.quantised = is_quantised(base)
        self.plan: Plan = "input_side" if self.quantised else plan
        self.solve = solve
        used = lambda_0[lambda_0 > 0]
        self.even = used.numel() == 0 or bool(used.min() >= EVEN * used.median())
        self.in_features, self.out_features = in_features(base), out_features(base)
        self.transposed = is_conv1d(base)
        # U takes as much room as W, so it takes W's dtype; V and lambda_0 are small and stay exact.
        self.register_buffer("Ut", None, persistent=False)
        self.register_buffer("lambda_0", lambda_0.to(shared.Vt), persistent=False)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.accumulating, self.micro_batches = False, 1  # set by frod.accumulating
        self._formed: tuple[tuple[Any, ...], Tensor] | None = None
        self._dW: Tensor | None = None

    def add_adapter(self, name: str, pattern: SparsePattern) -> None:
        """Add an adapter at its start and make it the active one."""
        self.adapters[name] = Adapter(self.lambda_0, pattern)
        self.use(name)

    def use(self, name: str | None) -> None:
        """Make one adapter the active one; None, or a name this layer has no adapter of, leaves the frozen layer."""
        self.active = name if name is not None and name in self.adapters else None
        self.forget()

    def forget(self) -> None:
        """Drop the weight that was formed, and the gradient that waits for the last micro-batch of its step."""
        self._formed = self._dW = None

    @property
    def adapter(self) -> Adapter:
        """The active adapter."""
        assert self.active is not None
        return cast(Adapter, self.adapters[self.active])

    def pattern_places(self) -> tuple[Tensor, Tensor]:
        """Rows and columns of S's entries (k,), in the order of `rotation`."""
        return self.adapter.pattern.places()

    @property
    def scale(self) -> Tensor:
        """Lambda of the active adapter, (n,)."""
        return self.adapter.scale

    @property
    def rotation(self) -> Tensor:
        """Values of S of the active adapter, (k,)."""
        return self.adapter.rotation

    @property
    def weight(self) -> Tensor:
        """The frozen weight, for code that asks a layer for its dtype or device."""
        return cast(Tensor, self.base.weight)

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return cast("Tensor | None", self.base.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply x W'^T + bias to x of shape (..., n)."""
        if torch.compiler.is_compiling():
            from frod.method import uncompiled

            return cast(Tensor, uncompiled.compute(self, x))
        return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """What `forward` does, whether or not the model around it is compiled."""
        if self.active is not None:
            self._check_lambda()
        if self.quantised:
            return self._forward_over_quantised(x)
        # What autocast would do to the operands of the frozen layer is done by hand: inside a Function it would also
        # reach the small exact products, and be off in the backward.
        x = x.to(self._operand_dtype(x))
        with torch.autocast(x.device.type, enabled=False):
            if self.active is None:
                return self.apply_base(x)
            # Reentrant checkpointing computes a training step's first forward without gradients: it keeps to the plan.
            if torch.is_grad_enabled() or self.training:
                return self._train_forward(x)
            if self.plan == "input_side":
                return ways.input_side(self, x)
            return self._or_without_weight(x, lambda: self.apply_base(x, self.effective_weight().to(x.dtype)))

    def _forward_over_quantised(self, x: Tensor) -> Tensor:
        """Give the base x in its own dtype, and under autocast if that is on: it answers to both by rules of its own.

        Only the products beside it are in the dtype autocast asks for.
        """
        if self.active is not None:
            dtype = self._operand_dtype(x)
            with torch.autocast(x.device.type, enabled=False):
                x = ways.changed_input(self, x, dtype)
        return self.apply_base(x)

    def _train_forward(self, x: Tensor) -> Tensor:
        way = self.way(x.numel() // self.in_features, x.element_size())
        if way != "materialised":
            self._formed = None  # some optimisers write past the version counters, so training forgets it as well
        if way == "input_side":
            return ways.input_side(self, x)
        function = ways.materialised if way == "materialised" else ways.factored
        return self._or_without_weight(x, lambda: function(self, x))

    def _or_without_weight(self, x: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Compute; if U or W' finds no room on the device, go over to the plan that needs neither, and say so."""
        try:
            return compute()
        except torch.OutOfMemoryError as error:
            # Going over would lose the step's other micro-batches, or digits.
            if self.plan != "auto" or self._dW is not None or self.solve:
                error.add_note(self.lighter())
                raise
        warnings.warn(
            f"no room on {x.device} for U or W' ({self.out_features} x {self.in_features}): this layer goes on with "
            "plan='input_side', which needs neither. Ask for it from the start to save the attempt.",
            ResourceWarning,
            stacklevel=2,
        )
        self.plan, self.Ut = "input_side", None
        self.forget()
        return ways.input_side(self, x)

    def lighter(self) -> str:
        """Which plan to turn to when memory does not suffice."""
        return f"FRoD: plan={self.plan!r} keeps U or forms W'; attach with plan='input_side', which needs neither."

    def way(self, T: int, itemsize: int = 4) -> Way:
        """How a training step over T tokens is computed: see `frod.method.plan`."""
        if self.quantised:
            return "input_side"
        if self._dW is not None:
            return "materialised"  # the gradients of the step's other micro-batches wait for the last one's
        return choose(
            self.plan,
            T=T * self.micro_batches,
            m=self.out_features,
            n=self.in_features,
            k=self.rotation.numel(),
            device=self.weight.device.type,
            itemsize=itemsize,
            ways=WAYS if self.input_side_serves(itemsize) else ("materialised", "factored"),
        )

    def input_side_serves(self, itemsize: int) -> bool:
        """Whether the "input_side" way is as accurate as the others, with numbers of so many bytes.

        It needs the inverse of V. And where lambda_0 is tiny, the changed input grows, only for W to shrink it again:
        half precision would lose the input itself meanwhile.
        """
        return not self.solve and (itemsize > 2 or self.even)

    def training_weight(self) -> Tensor:
        """W' for a training step: formed anew, but once for all its micro-batches.

        It is kept until the last one's gradient is there, as checkpointing computes that one's forward again. Within a
        step nothing changes it; where a parameter lies does not matter then, and FSDP moves it between micro-batches.
        """
        key = ("step", *(source._version for source in self._sources() if not source.is_inference()))
        formed = self._formed[1] if self._formed is not None and self._formed[0] == key else self.form_weight()
        self._formed = (key, formed) if self.accumulating or self._dW is not None else None
        return formed

    @torch.inference_mode(False)  # what is kept has to serve training, too
    @torch.no_grad()
    def effective_weight(self) -> Tensor:
        """W' in the layout and dtype of the base layer.

        In evaluation it is formed once and kept until a parameter changes. Changes are told by the version counters
        of the tensors, which writes through `.data`, and to what FSDP2 keeps in pieces, escape; a forward with
        gradients, every call of `train()` or `eval()`, and `load_adapter` forget it, too.
        """
        if self.training or any(source.is_inference() for source in self._sources()):
            return self.form_weight()
        key = self._key()
        if self._formed is None or self._formed[0] != key:
            self._formed = (key, self.form_weight())
        return self._formed[1]

    def _key(self) -> tuple[Any, ...]:
        return tuple((source.data_ptr(), source._version) for source in self._sources())

    def _sources(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.weight, self.scale, self.rotation

    def form_weight(self) -> Tensor:
        """Compute W' = W + U (diag + S) V^T in the layout and dtype of the base layer.

        The sparse factor goes to the side with fewer rows; the dense product adds to W in the same stroke.
        """
        Ut, shared, pattern, values = self.formed_Ut(), self.shared, self.adapter.pattern, self.change()
        if self._pattern_on_U:
            left, right = pattern.transposed_times(values, Ut).T, shared.Vt
        else:
            left, right = Ut.T, pattern.times(values, shared.Vt).to(Ut.dtype)
        if self.transposed:
            left, right = right.T, left.T
        return torch.addmm(self.weight.detach(), left, right)

    def formed_Ut(self) -> Tensor:
        """U^T = (W V^-T diag(1/lambda_0))^T, (n, m), in W's dtype; kept from the first call on."""
        if self.Ut is None:
            self.Ut = self._form_Ut()
        return self.Ut

    @torch.inference_mode(False)
    @torch.no_grad()
    def _form_Ut(self) -> Tensor:
        W = self.weight.detach().T if self.transposed else self.weight.detach()
        if self.solve:
            Bt = torch.linalg.solve(self.shared.Vt.T.double(), W.T.double())
        else:
            Bt = self.shared.V_inv_t.T @ W.T.to(self.shared.V_inv_t.dtype)
        return Bt.mul_(self.lambda_0_inverse()[:, None]).to(W.dtype).contiguous()

    def lambda_0_inverse(self) -> Tensor:
        """1 / lambda_0, with 1/0 read as 0: where lambda_0 is 0, U's column is, and what is trained has no effect."""
        return torch.where(self.lambda_0 > 0, 1 / self.lambda_0, 0)

    def change(self) -> Tensor:
        """diag(lambda - lambda_0) + S, its values at the places of the pattern (p,)."""
        return self.adapter.pattern.values(self.scale.detach() - self.lambda_0, self.rotation.detach())

    def project(self, dW: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of lambda (n,) and S (k,) from that of the weight (m, n): U^T dW V, at the pattern only."""
        Ut, Vt, pattern = self.formed_Ut(), self.shared.Vt, self.adapter.pattern
        dW = dW.to(Ut.dtype)
        if self._pattern_on_U:
            return pattern.sample(Ut, Vt @ dW.T)
        return pattern.sample((Ut @ dW).to(Vt.dtype), Vt)

    def gradient(self, dy_Tm: Tensor, x_Tn: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Gradients of lambda and S from a micro-batch; None for all of a step's micro-batches but the last.

        Meanwhile dW is summed, in the adapter's precision, so that it is projected once a step.
        """
        dW = dy_Tm.T @ x_Tn
        if self.accumulating:
            self._dW = dW.to(self.lambda_0.dtype) if self._dW is None else self._dW.add_(dW)
            return None, None
        if self._dW is not None:
            dW, self._dW, self._formed = self._dW.add_(dW), None, None
        return self.project(dW)

    @property
    def _pattern_on_U(self) -> bool:
        # In half precision only V is kept exactly, so the sparse sums are taken over V.
        return self.out_features < self.in_features and self.weight.dtype == self.shared.Vt.dtype

    def _check_lambda(self) -> None:
        """Refuse a lambda that a wrapper rounded on its way here: what it learns is below half precision's steps."""
        if self.scale.dtype != self.lambda_0.dtype:
            raise ValueError(
                f"lambda arrives in {self.scale.dtype} and is kept in {self.lambda_0.dtype}: the wrapper of the model "
                "rounds its parameters. Leave that off (fully_shard: mp_policy=MixedPrecisionPolicy(); accelerate: "
                "mixed_precision='no') and cast the frozen model before `attach`, or use torch.autocast."
            )

    def _operand_dtype(self, x: Tensor) -> torch.dtype:
        """The dtype the frozen layer would multiply in, as autocast (which leaves float64 alone) or x has it."""
        if torch.is_autocast_enabled(x.device.type) and torch.float64 not in (x.dtype, self.weight.dtype):
            return torch.get_autocast_dtype(x.device.type)
        if x.dtype != self.weight.dtype and not self.quantised:
            raise ValueError(
                f"the input is {x.dtype}, the weight {self.weight.dtype}; cast one of them, or use autocast."
            )
        return x.dtype

    def apply_base(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """What the frozen layer computes, with another weight if one is given."""
        if self.quantised:
            return cast(Tensor, cast(nn.Module, self.base)(x))
        weight = self.weight.to(x.dtype) if weight is None else weight
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if not self.transposed:
            return F.linear(x, weight, bias)
        # The call Conv1D itself makes, to the letter: another one may round otherwise.
        flat = torch.addmm(cast(Tensor, bias), x.view(-1, x.size(-1)), weight)
        return flat.view(*x.shape[:-1], self.out_features)

    def train(self, mode: bool = True) -> "FrodLinear":
        """Switch between training and evaluation; forgets the weight formed for evaluation."""
        self._formed = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FrodLinear":
        self.forget()
        if recurse:
            for child in self.children():
                child._apply(fn)
            if self.quantised:
                follow(cast(nn.Module, self.base))
        keep = on_device_only(fn)
        return super()._apply(lambda tensor: (fn if tensor is self.Ut else keep)(tensor), recurse=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_formed": None, "_dW": None}

    def extra_repr(self) -> str:
        """Sizes and plan, for `print(model)`."""
        return f"in_features={self.in_features}, out_features={self.out_features}, plan={self.plan!r}"
