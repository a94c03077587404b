"""The three strategies that compute an adapted layer in training, as autograd functions; what they cost: `plan`.

Shapes: T tokens, m out_features, n in_features, p = n + k places of diag + S. Activations of the sparse products are
kept transposed, (n, T), as the sparse kernels read rows.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from frod.method.products import SparsePattern
from frod.method.weights import AdaptedWeight


def materialised(layer: AdaptedWeight, x: Tensor) -> Tensor:
    """Form W', use it as any weight, and project its gradient once."""
    return cast(Tensor, _Materialised.apply(x, *layer.in_graph(), layer))


def factored(layer: AdaptedWeight, x: Tensor) -> Tensor:
    """Add U (diag + S) V^T x to the frozen layer's own output; W' is never formed."""
    return cast(Tensor, _Factored.apply(x, *layer.in_graph(), layer))


def input_side(layer: AdaptedWeight, x: Tensor) -> Tensor:
    """Give the frozen layer x + V^-T diag(1/lambda_0) (diag + S) V^T x; neither U nor the weight itself is touched."""
    return layer.apply_base(changed_input(layer, x, x.dtype))


def changed_input(layer: AdaptedWeight, x: Tensor, dtype: torch.dtype) -> Tensor:
    """What the frozen layer is given: x + V^-T diag(1/lambda_0) (diag + S) V^T x, as x; dense products are in dtype."""
    return cast(Tensor, _InputSide.apply(x, *layer.in_graph(), layer, dtype))


class _Materialised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, rotation: Tensor, layer: AdaptedWeight) -> Tensor:
        weight = layer.training_weight().to(x.dtype)
        ctx.layer = layer
        ctx.save_for_backward(x, weight)
        return layer.apply_base(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        layer: AdaptedWeight = ctx.layer
        dx = d_scale = d_rotation = None
        if ctx.needs_input_grad[0]:
            dx = dy @ (weight.T if layer.transposed else weight)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            try:
                d_scale, d_rotation = layer.gradient(_rows(dy).T @ _rows(x))
            except torch.OutOfMemoryError as error:
                error.add_note(layer.lighter(x.element_size()))
                raise
        return dx, d_scale, d_rotation, None


class _Factored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, rotation: Tensor, layer: AdaptedWeight) -> Tensor:
        values, pattern = layer.change(), layer.adapter.pattern
        z_nT = layer.shared.Vt.to(x.dtype) @ _rows(x).T
        a_nT = pattern.times(values, z_nT.to(values.dtype)).to(x.dtype)
        y = layer.apply_base(x)
        ctx.layer, ctx.pattern = layer, pattern
        ctx.save_for_backward(z_nT, values)
        ctx.x_shape = x.shape
        return y + (a_nT.T @ layer.formed_Ut().to(x.dtype)).view(y.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        z_nT, values = ctx.saved_tensors
        layer: AdaptedWeight = ctx.layer
        pattern: SparsePattern = ctx.pattern
        da_nT = (layer.formed_Ut().to(dy.dtype) @ _rows(dy).T).to(values.dtype)
        dx = d_scale = d_rotation = None
        if ctx.needs_input_grad[0]:
            dz_nT = pattern.transposed_times(values, da_nT).to(dy.dtype)
            weight = layer.frozen.to(dy.dtype)
            base = _rows(dy) @ (weight.T if layer.transposed else weight)
            dx = base.addmm_(dz_nT.T, layer.shared.Vt.to(dy.dtype)).view(ctx.x_shape)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            d_scale, d_rotation = pattern.sample(da_nT, z_nT.to(values.dtype))
        return dx, d_scale, d_rotation, None


class _InputSide(torch.autograd.Function):
    """x -> x + V^-T diag(1/lambda_0) (diag + S) V^T x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, rotation: Tensor, layer: AdaptedWeight, dtype: torch.dtype
    ) -> Tensor:
        values, pattern, shared = layer.change(), layer.adapter.pattern, layer.shared
        z_nT = shared.Vt.to(dtype) @ _rows(x).to(dtype).T
        a_nT = pattern.times(values, z_nT.to(values.dtype)).mul_(layer.lambda_0_inverse()[:, None])
        ctx.layer, ctx.pattern, ctx.dtype = layer, pattern, dtype
        ctx.save_for_backward(z_nT, values)
        return _plus_product(_rows(x), a_nT.T.to(dtype), shared.V_inv_t.T.to(dtype)).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        z_nT, values = ctx.saved_tensors
        layer: AdaptedWeight = ctx.layer
        pattern: SparsePattern = ctx.pattern
        shared = layer.shared
        da_nT = shared.V_inv_t.T.to(ctx.dtype) @ _rows(dy).to(ctx.dtype).T
        da_nT = da_nT.to(values.dtype).mul_(layer.lambda_0_inverse()[:, None])
        dx = d_scale = d_rotation = None
        if ctx.needs_input_grad[0]:
            dz_nT = pattern.transposed_times(values, da_nT).to(ctx.dtype)
            dx = _plus_product(_rows(dy), dz_nT.T, shared.Vt.to(ctx.dtype)).view(dy.shape)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            d_scale, d_rotation = pattern.sample(da_nT, z_nT.to(values.dtype))
        return dx, d_scale, d_rotation, None, None


def _plus_product(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """x + left right, in the dtype of x; the product may be in a coarser one."""
    return torch.addmm(x, left, right) if left.dtype == x.dtype else x + (left @ right).to(x.dtype)


def _rows(x: Tensor) -> Tensor:
    """(..., w) as (T, w)."""
    return x.reshape(-1, x.shape[-1])
