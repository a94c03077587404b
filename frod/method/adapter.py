"""What trains in one layer, for one adapter.

Shapes: n in_features, k entries of S.
"""

from collections.abc import Callable

from torch import Tensor, nn

from frod.method.products import SparsePattern, on_device_only


class Adapter(nn.Module):
    """Lambda (`scale`, (n,)) and S at the places of `pattern` (`rotation`, (k,))."""

    def __init__(self, lambda_0: Tensor, pattern: SparsePattern) -> None:
        super().__init__()
        self.pattern = pattern
        self.scale = nn.Parameter(lambda_0.clone())
        self.rotation = nn.Parameter(lambda_0.new_zeros(pattern.k))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adapter":
        return super()._apply(on_device_only(fn), recurse)
