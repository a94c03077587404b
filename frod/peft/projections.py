"""V and the places of S, as peft holds them by category and adapter, with what follows from them.

peft stores V alone. Its inverse, and lambda_0 of each layer, are made from the V at hand and the frozen weight, so that
a checkpoint's V never meets a U of another one.

Shapes: m out_features, n in_features, k entries of S.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from peft.tuners._buffer_dict import BufferDict
from torch import Tensor

from frod.method.basis import CategoryBasis
from frod.method.decomposition import condition_number, coordinates, lengths
from frod.method.extraction import SINGLE_SERVES, STORED_CUTOFF
from frod.method.products import SharedBasis, SparsePattern, on_device_only
from frod.method.side_by_side import one_thread
from frod.peft.shared_basis import describes, entries, inverse_transposed, tolerance


@dataclass(kw_only=True, eq=False)
class Derived:
    """What follows from a V: its inverse, V^-T (n, n) in float32 on the CPU, and lambda_0 (n,) by layer.

    Adapters on one V share it. `placed` is V^T and V^-T as layers compute with them, by device and dtype.
    """

    V_inv_t: Tensor | None = None
    condition: float = 1.0
    lambda_0: dict[str, Tensor] = field(default_factory=dict)
    placed: dict[tuple[torch.device, torch.dtype], SharedBasis] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Derived":
        return replace(self, lambda_0=dict(self.lambda_0), placed={})

    def invert(self, category: str, V: Tensor) -> Tensor:
        """V^-T in float64, made once more where only its rounded form is kept."""
        V = V.to("cpu", torch.float64)
        with one_thread():
            V_inv_t = inverse_transposed(V, category)
        self.condition = condition_number(V, V_inv_t.T)
        self.V_inv_t = V_inv_t.float().contiguous()
        return V_inv_t


class Bases(BufferDict):
    """V (n, n) of one category by adapter; kept column by column, so that V^T is a view of it."""

    def __init__(self, category: str, *, persistent: bool) -> None:
        super().__init__({}, persistent=persistent)
        self.category = category
        self.derived: dict[str, Derived] = {}

    def __setitem__(self, adapter: str, V: Tensor) -> None:
        shared = next((self.derived[name] for name in self.derived if self[name] is V), None)
        super().__setitem__(adapter, V if V.is_meta else V.T.contiguous().T)
        if shared is not None:
            self._buffers[adapter] = V
        self.derived[adapter] = shared or Derived()

    def __delitem__(self, adapter: str) -> None:
        super().__delitem__(adapter)
        del self.derived[adapter]

    def put(self, adapter: str, basis: CategoryBasis, dtype: torch.dtype) -> None:
        """Take V from a basis, in the dtype that peft keeps it in; what follows too, unless V had to be rounded."""
        self[adapter] = basis.V.to(dtype)
        if dtype in (torch.float32, torch.float64):
            condition = basis.facts["condition_number"]
            self.derived[adapter] = Derived(V_inv_t=basis.V_inv_t, condition=condition, lambda_0=dict(basis.lambda_0))

    def holds(self, adapter: str, V: Tensor) -> bool:
        """Whether this is the V of an adapter, as it is kept here."""
        here = self[adapter]
        return V.shape == here.shape and torch.equal(V.to(here), here)

    def take_stored(self, adapter: str, V: Tensor, weights: Mapping[str, Tensor]) -> None:
        """Take a checkpoint's V; a warning where it is not of these frozen weights (m, n), in peft's order."""
        here = self[adapter]
        if V.shape != here.shape:
            raise ValueError(
                f"V of category {self.category!r} is {tuple(V.shape)} in the checkpoint and {tuple(here.shape)} for "
                "this model: load it into the base model that it was trained on."
            )
        stored = Bases(self.category, persistent=False)
        stored[adapter] = V.to(here)
        lambda_0 = {layer: stored.lambda_0(adapter, layer, W) for layer, W in weights.items()}
        of = describes(stored[adapter].to("cpu", torch.float64), {k: W.cpu() for k, W in weights.items()}, lambda_0)
        if not of <= (bound := tolerance(V.dtype)):
            # Not an error, as peft takes it: W' = W + U (diag(lambda - lambda_0) + S) V^T holds over any V.
            warnings.warn(
                f"V of category {self.category!r} in the checkpoint is not of this model's weights (off by {of:.2g}, "
                f"more than {bound:.2g}): load it into the base model that it was trained on.",
                stacklevel=2,
            )
        self[adapter] = stored[adapter]
        self.derived[adapter] = stored.derived[adapter]

    def condition(self, adapter: str) -> float:
        """Condition number of V."""
        derived = self.derived[adapter]
        if derived.V_inv_t is None:
            derived.invert(self.category, self[adapter])
        return derived.condition

    def lambda_0(self, adapter: str, layer: str, W: Tensor) -> Tensor:
        """Where lambda (n,) of a layer of frozen weight W (m, n) starts; the same with any number of threads."""
        derived = self.derived[adapter]
        if layer not in derived.lambda_0:
            well = self.condition(adapter) < SINGLE_SERVES
            V_inv_t = derived.V_inv_t if well else derived.invert(self.category, self[adapter])
            assert V_inv_t is not None
            with one_thread(), torch.no_grad():
                B = coordinates(W.detach().cpu(), self[adapter].to(V_inv_t), V_inv_t, refine=not well)
                derived.lambda_0[layer] = lengths(B, cutoff=STORED_CUTOFF).float()
        return derived.lambda_0[layer]

    def placed(self, adapter: str, device: torch.device, dtype: torch.dtype) -> SharedBasis:
        """V^T and V^-T for layers on a device."""
        derived, V = self.derived[adapter], self[adapter]
        if (device, dtype) not in derived.placed:
            known = None if dtype == torch.float64 else derived.V_inv_t
            V_inv_t = derived.invert(self.category, V) if known is None else known
            derived.placed[device, dtype] = SharedBasis(V.to(device, dtype), V_inv_t.to(device, dtype))
        return derived.placed[device, dtype]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Rounded with the model, V would no longer be the one that lambda was trained on.
        for derived in self.derived.values():
            derived.placed.clear()
        return super()._apply(on_device_only(fn), recurse)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self._buffers:
            if (key := prefix + name) in destination:
                destination[key] = destination[key].contiguous()  # safetensors takes no other

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name in list(self._buffers):
            V = state_dict.get(prefix + name)
            if V is not None and V.shape == self[name].shape and not self.holds(name, V):
                self[name] = torch.empty_like(V)  # not into a V that another adapter shares
        super()._load_from_state_dict(state_dict, prefix, *args)


class Places(BufferDict):
    """The places of S (2, k) of one category by adapter, int64."""

    def __init__(self, *, persistent: bool) -> None:
        super().__init__({}, persistent=persistent)
        self.made: dict[str, tuple[Tensor, int, torch.device, SparsePattern]] = {}

    def pattern(self, adapter: str, n: int, device: torch.device) -> SparsePattern:
        """What layers on a device multiply with."""
        places = self[adapter]
        made = self.made.get(adapter)
        if made is None or made[0] is not places or made[1:3] != (places._version, device):
            pattern = SparsePattern(n, *places.cpu()).to(device)
            made = self.made[adapter] = (places, places._version, device, pattern)
        return made[3]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"made": {}}


def draw(n: int, sparse_rate: float, generator: torch.Generator) -> Tensor:
    """The places of S (2, k) that peft draws, to the number, without its grids of n x n."""
    total = n * (n - 1)
    count = entries(n, sparse_rate)
    if not count:
        return torch.empty(2, 0, dtype=torch.long)
    chosen = torch.randperm(total, generator=generator)[:count]
    rows, columns = chosen // (n - 1), chosen % (n - 1)
    return torch.stack([rows, columns + (columns >= rows)])
