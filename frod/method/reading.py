"""The weight of an adapted layer as code outside reads it: W', formed when it is computed with.

Some models hand `layer.weight` to a function instead of calling the layer (Swin's attention, torch's transformer
layers in evaluation); many more only ask for its dtype, in every forward, which is not to cost a product.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from frod.method.weights import AdaptedWeight


def read(layer: "AdaptedWeight") -> Tensor:
    """W' of the adapter in use, in the layout and dtype of the base layer; gradients flow to lambda and S."""
    if torch.is_grad_enabled():
        return cast(Tensor, _Read.apply(layer.scale, layer.rotation, layer))
    return ReadWeight(layer, training=False)


class ReadWeight(Tensor):
    """A tensor with the dtype, device and shape of W', whose numbers are formed at the first operation on them."""

    __torch_function__: Any = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, layer: "AdaptedWeight", training: bool) -> "ReadWeight":
        W = layer.frozen
        made = Tensor._make_wrapper_subclass(cls, W.size(), strides=W.stride(), dtype=W.dtype, device=W.device)
        return cast("ReadWeight", made)

    def __init__(self, layer: "AdaptedWeight", training: bool) -> None:
        self._layer, self._training = layer, training
        self._formed: Tensor | None = None

    def formed(self) -> Tensor:
        """W' as a plain tensor, the same at every call."""
        if self._formed is None:
            layer = self._layer
            layer.check_lambda()
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                self._formed = layer.training_weight() if self._training else layer.effective_weight()
        return self._formed

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares it without the operation
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute with the formed weight; writing to it is refused, as nothing would come of it."""
        if func._schema.is_mutable and isinstance(args[0], cls):
            raise ValueError(
                f"{func} writes to the weight of an adapted layer, which is computed anew from lambda and S; write to "
                "the frozen one (`layer.base.weight`) before `attach`, or merge first."
            )
        args, kwargs = tree_map_only(cls, cls.formed, (args, kwargs or {}))
        return func(*args, **kwargs)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scale: Tensor, rotation: Tensor, layer: "AdaptedWeight") -> Tensor:
        ctx.layer = layer
        return ReadWeight(layer, training=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dW: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        layer: AdaptedWeight = ctx.layer
        return *layer.gradient(dW.T if layer.transposed else dW), None
