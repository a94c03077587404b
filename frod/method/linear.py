"""The adapted linear layer, in residual form: W' = W + U (diag(lambda - lambda_0) + S) V^T.

U diag(lambda_0) V^T is W itself, so this is FRoD's U (diag(lambda) + S) V^T without its rounding: at the start
lambda = lambda_0 and S = 0, W' = W + 0, and the layer calls the very operation the frozen layer would, on the very same
numbers. The output is equal bit for bit in every dtype.

`scale` holds lambda itself and not its change: an optimiser that decays or normalises lambda then does to it what it
does in the released code.

Shapes: T tokens, m out_features, n in_features, k entries of S. Numbers of the adapter are float32 (float64 for float64
weights), whatever the dtype of the weights.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from frod.method.plan import Plan, choose
from frod.method.products import SharedState, on_device_only
from frod.method.targets import in_features, is_conv1d, out_features


class FrodLinear(nn.Module):
    """A frozen linear layer with FRoD's trainable lambda (`scale`) and S (`rotation`).

    Parameters
    ----------
    base : nn.Linear or transformers' Conv1D
        Kept as it is, frozen.
    shared : SharedState
        V and the pattern, one object for the whole category.
    U : Tensor of shape (m, n)
    lambda_0 : Tensor of shape (n,)
        Where lambda starts, with U diag(lambda_0) V^T = W.
    plan : {"auto", "materialised", "factored"}
        How training steps are computed. Evaluation always forms W', once.
    """

    Ut: Tensor
    lambda_0: Tensor

    def __init__(self, base: nn.Module, shared: SharedState, *, U: Tensor, lambda_0: Tensor, plan: Plan) -> None:
        super().__init__()
        weight = cast(Tensor, base.weight)
        self.base = base
        self.shared = shared
        self.plan: Plan = plan
        self.in_features, self.out_features = in_features(base), out_features(base)
        self.transposed = is_conv1d(base)
        dtype = torch.promote_types(weight.dtype, torch.float32)
        # U takes as much room as W, so it takes the same dtype; V and lambda_0 are small and stay exact.
        self.register_buffer("Ut", U.T.to(weight).contiguous(), persistent=False)
        self.register_buffer("lambda_0", lambda_0.to(weight.device, dtype), persistent=False)
        self.scale = nn.Parameter(self.lambda_0.clone())
        self.rotation = nn.Parameter(torch.zeros(shared.k, dtype=dtype, device=weight.device))
        self._formed: tuple[tuple[Any, ...], Tensor] | None = None

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
        # What autocast would do to the operands of the frozen layer is done by hand: inside a Function it would also
        # reach the small exact products, and be off in the backward.
        x = x.to(self._operand_dtype(x))
        with torch.autocast(x.device.type, enabled=False):
            if not torch.is_grad_enabled():
                return self._apply_base(x, self.effective_weight().to(x.dtype))
            self._formed = None  # some optimisers write past the version counters, so training forgets it as well
            T = x.numel() // self.in_features
            plan = choose(self.plan, T=T, m=self.out_features, n=self.in_features, k=self.rotation.numel())
            function = _Materialised if plan == "materialised" else _Factored
            return cast(Tensor, function.apply(x, self.scale, self.rotation, self))

    @torch.no_grad()
    def effective_weight(self) -> Tensor:
        """W' in the layout and dtype of the base layer.

        In evaluation it is formed once and kept until a parameter changes. Changes are told by the version counters
        of the tensors, which writes through `.data` escape; a forward with gradients, and every call of `train()` or
        `eval()`, forgets it, too.
        """
        sources = (self.weight, self.scale, self.rotation)
        if self.training or any(source.is_inference() for source in sources):
            return self.form_weight()
        key = tuple((source.data_ptr(), source._version) for source in sources)
        if self._formed is None or self._formed[0] != key:
            self._formed = (key, self.form_weight())
        return self._formed[1]

    def form_weight(self) -> Tensor:
        """Compute W' = W + U (diag + S) V^T in the layout and dtype of the base layer.

        The sparse factor goes to the side with fewer rows; the dense product adds to W in the same stroke.
        """
        shared = self.shared
        values = shared.values(self.scale.detach() - self.lambda_0, self.rotation.detach())
        if self._pattern_on_U:
            left, right = shared.transposed_times(values, self.Ut).T, shared.Vt
        else:
            left, right = self.Ut.T, shared.times(values, shared.Vt).to(self.Ut.dtype)
        if self.transposed:
            left, right = right.T, left.T
        return torch.addmm(self.weight.detach(), left, right)

    def project(self, dW: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of lambda (n,) and S (k,) from that of the weight (m, n): U^T dW V, at the pattern only."""
        shared = self.shared
        if self._pattern_on_U:
            return shared.sample(self.Ut, shared.Vt @ dW.T)
        return shared.sample((self.Ut @ dW).to(shared.Vt.dtype), shared.Vt)

    @property
    def _pattern_on_U(self) -> bool:
        # In half precision only V is kept exactly, so the sparse sums are taken over V.
        return self.out_features < self.in_features and self.Ut.dtype == self.shared.Vt.dtype

    def _operand_dtype(self, x: Tensor) -> torch.dtype:
        """The dtype the frozen layer would multiply in, as autocast (which leaves float64 alone) or x has it."""
        if torch.is_autocast_enabled(x.device.type) and torch.float64 not in (x.dtype, self.weight.dtype):
            return torch.get_autocast_dtype(x.device.type)
        if x.dtype != self.weight.dtype:
            raise ValueError(
                f"the input is {x.dtype}, the weight {self.weight.dtype}; cast one of them, or use autocast."
            )
        return x.dtype

    def _apply_base(self, x: Tensor, weight: Tensor) -> Tensor:
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
        self._formed = None
        if recurse:
            for child in self.children():
                child._apply(fn)
        keep = on_device_only(fn)
        return super()._apply(lambda tensor: fn(tensor) if tensor is self.Ut else keep(tensor), recurse=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_formed": None}

    def extra_repr(self) -> str:
        """Sizes and plan, for `print(model)`."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"rotation={self.rotation.numel()}, plan={self.plan!r}"
        )


class _Materialised(torch.autograd.Function):
    """Form W', use it as any weight, and project its gradient once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, rotation: Tensor, layer: FrodLinear) -> Tensor:
        weight = layer.form_weight().to(x.dtype)
        ctx.layer = layer
        ctx.save_for_backward(x, weight)
        return layer._apply_base(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        layer: FrodLinear = ctx.layer
        dx = d_scale = d_rotation = None
        if ctx.needs_input_grad[0]:
            dx = dy @ (weight.T if layer.transposed else weight)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            dW = dy.reshape(-1, dy.shape[-1]).T @ x.reshape(-1, x.shape[-1])
            d_scale, d_rotation = layer.project(dW.to(layer.Ut.dtype))
        return dx, d_scale, d_rotation, None


class _Factored(torch.autograd.Function):
    """Add U (diag + S) V^T x to the frozen layer's own output; W' is never formed.

    Activations are kept transposed (n, T), as the sparse kernels read rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, rotation: Tensor, layer: FrodLinear) -> Tensor:
        shared = layer.shared
        values = shared.values(scale - layer.lambda_0, rotation)
        z_nT = shared.Vt.to(x.dtype) @ x.reshape(-1, x.shape[-1]).T
        a_nT = shared.times(values, z_nT.to(values.dtype)).to(x.dtype)
        y = layer._apply_base(x, layer.weight.to(x.dtype))
        ctx.layer = layer
        ctx.save_for_backward(z_nT, values)
        ctx.x_shape = x.shape
        return y + (a_nT.T @ layer.Ut.to(x.dtype)).view(y.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        z_nT, values = ctx.saved_tensors
        layer: FrodLinear = ctx.layer
        shared = layer.shared
        dy_Tm = dy.reshape(-1, dy.shape[-1])
        da_nT = (layer.Ut.to(dy.dtype) @ dy_Tm.T).to(values.dtype)
        dx = d_scale = d_rotation = None
        if ctx.needs_input_grad[0]:
            dz_nT = shared.transposed_times(values, da_nT).to(dy.dtype)
            weight = layer.weight.to(dy.dtype)
            dx_Tn = torch.addmm(dy_Tm @ (weight.T if layer.transposed else weight), dz_nT.T, shared.Vt.to(dy.dtype))
            dx = dx_Tn.view(ctx.x_shape)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            d_scale, d_rotation = shared.sample(da_nT, z_nT.to(values.dtype))
        return dx, d_scale, d_rotation, None
