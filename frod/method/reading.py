"""The weight of an adapted layer as code outside reads it: W', formed when it is computed with.

Some models hand `layer.weight` to a function instead of calling the layer (Swin's attention, torch's transformer
layers in evaluation); many more only ask for its dtype, in every forward, which is not to cost a product.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_map_only


class ReadWeight(Tensor):
    """A tensor with the dtype, device and shape of the frozen weight; `form` gives W' at the first operation on it."""

    __torch_function__: Any = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, frozen: Tensor, form: Callable[[], Tensor]) -> "ReadWeight":
        strides, dtype, device = frozen.stride(), frozen.dtype, frozen.device
        made = Tensor._make_wrapper_subclass(cls, frozen.size(), strides=strides, dtype=dtype, device=device)
        return cast("ReadWeight", made)

    def __init__(self, frozen: Tensor, form: Callable[[], Tensor]) -> None:
        self._form = form
        self._formed: Tensor | None = None

    def formed(self) -> Tensor:
        """W' as a plain tensor, the same at every call."""
        if self._formed is None:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                self._formed = self._form()
        return self._formed

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares it without the operation
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute with the formed weight; writing to it is refused, as nothing would come of it."""
        if func._schema.is_mutable and isinstance(args[0], cls):
            raise ValueError(
                f"{func} writes to the weight of an adapted layer, which is computed from lambda and S; write to "
                "the frozen one (`layer.base.weight`) before `attach`, or merge first."
            )
        args, kwargs = tree_map_only(cls, cls.formed, (args, kwargs or {}))
        return func(*args, **kwargs)


class ReadInTraining(torch.autograd.Function):
    """W' as a `ReadWeight`; `gradient` makes those of lambda and S from that of W', in the layout of the layer."""

    @staticmethod
    def forward(ctx: Any, scale: Tensor, rotation: Tensor, frozen: Tensor, form: Any, gradient: Any) -> Tensor:
        ctx.gradient = gradient
        return ReadWeight(frozen, form)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dW: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.gradient(dW), None, None, None
