"""The weight W' = W + U (diag(lambda - lambda_0) + S) V^T of an adapted layer: formed, read, and its gradient.

Shapes: m out_features, n in_features, k entries of S. lambda and S are float32 (float64 for float64 weights),
whatever the dtype of the weights.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from frod.method.basis import without_autocast
from frod.method.plan import Plan
from frod.method.products import SharedBasis, SparsePattern, on_device_only
from frod.method.quantised import follow, is_quantised
from frod.method.reading import ReadInTraining, ReadWeight
from frod.method.targets import Target, in_features, is_conv1d, out_features

# Steps that optimisers have taken in this process: fused ones write to parameters past their version counters.
_steps = Counter[str]()
register_optimizer_step_post_hook(lambda *_: _steps.update(("taken",)))


class Adapter(nn.Module):
    """What trains: lambda (`scale`, (n,)) and S at the places of `pattern` (`rotation`, (k,))."""

    def __init__(self, lambda_0: Tensor, pattern: SparsePattern) -> None:
        super().__init__()
        self.pattern = pattern
        self.scale = nn.Parameter(lambda_0.clone())
        self.rotation = nn.Parameter(lambda_0.new_zeros(pattern.k))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(on_device_only(fn), recurse)


class AdaptedWeight(nn.Module):
    """A frozen weight with adapters on it; `FrodLinear`, which computes with it, describes arguments and attributes."""

    Ut: Tensor | None
    lambda_0: Tensor
    plan: Plan
    even: bool

    def __init__(self, base: Target, shared: SharedBasis, *, category: str, lambda_0: Tensor, solve: bool) -> None:
        super().__init__()
        self.base = base
        self.shared = shared
        self.category = category
        self.quantised = is_quantised(base)
        self.solve = solve
        self.in_features, self.out_features = in_features(base), out_features(base)
        self.transposed = is_conv1d(base)
        # U takes as much room as W, so it takes W's dtype; V and lambda_0 are small and stay exact.
        self.register_buffer("Ut", None, persistent=False)
        self.register_buffer("lambda_0", lambda_0.to(shared.Vt), persistent=False)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.accumulating = False  # set by frod.accumulating
        self.step: Any = None  # the frod.method.accumulation.Step that waits for its last micro-batch
        self._formed: tuple[tuple[Any, ...], Tensor] | None = None
        self._dW: Tensor | None = None

    def add_adapter(self, name: str, pattern: SparsePattern) -> None:
        """Add an adapter at its start and make it the active one."""
        self.adapters[name] = Adapter(self.lambda_0, pattern)
        self.use(name)

    def use(self, name: str | None) -> None:
        """Make one adapter the active one; None, or a name this layer has no adapter of, leaves the frozen layer."""
        self.active = name if name is not None and name in self.adapters else None
        self.drop_cache()

    def drop_cache(self) -> None:
        """Drop the weight that was formed, and the gradient that waits for the last micro-batch of its step."""
        self._formed = self._dW = self.step = None

    @property
    def adapter(self) -> Adapter:
        """The active adapter."""
        assert self.active is not None
        return cast(Adapter, self.adapters[self.active])

    def apply_base(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """What the frozen layer computes, with another weight if one is given."""
        if self.quantised:
            return cast(Tensor, cast(nn.Module, self.base).forward(x))
        weight = self.frozen.to(x.dtype) if weight is None else weight
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if not self.transposed:
            return F.linear(x, weight, bias)
        # The call Conv1D itself makes, to the letter: another one may round otherwise.
        flat = torch.addmm(cast(Tensor, bias), x.view(-1, x.size(-1)), weight)
        return flat.view(*x.shape[:-1], self.out_features)

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
    def frozen(self) -> Tensor:
        """The frozen weight W, as the base layer keeps it."""
        return cast(Tensor, self.base.weight)

    @property
    def weight(self) -> Tensor:
        """W' in the layout and dtype of the base layer, for code that reads it instead of calling the layer.

        Gradients flow to lambda and S. Of a quantised layer, and without an adapter in use, it is the frozen weight.
        """
        if self.active is None or self.quantised:
            return self.frozen
        if torch.compiler.is_compiling():
            from frod.method.uncompiled import call

            return call(_read_now, self)
        return self.read()

    def read(self) -> Tensor:
        """`weight` of an adapter in use, formed at the first operation on it."""
        if torch.is_grad_enabled():
            terms = self.scale, self.rotation, self.frozen, self.training_weight, self._gradient_of_read
            return cast(Tensor, ReadInTraining.apply(*terms))
        return ReadWeight(self.frozen, self.effective_weight)

    def _gradient_of_read(self, dW: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
        return self.gradient(dW.T if self.transposed else dW)

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return cast("Tensor | None", self.base.bias)

    def training_weight(self) -> Tensor:
        """W' for a training step: formed once for all its micro-batches.

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
        """W' in the layout and dtype of the base layer; in evaluation kept until a parameter changes.

        Changes are told by the steps of optimisers and the version counters of the tensors, which writes through
        `.data`, and to what FSDP2 shards, escape; a forward with gradients, `train()`, `eval()` and `load_adapter` drop
        it, too.
        """
        if self.training or any(source.is_inference() for source in self._sources()):
            return self.form_weight()
        key = self._key()
        if self._formed is None or self._formed[0] != key:
            self._formed = (key, self.form_weight())
        return self._formed[1]

    def _key(self) -> tuple[Any, ...]:
        return _steps["taken"], *((source.data_ptr(), source._version) for source in self._sources())

    def _sources(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.frozen, self.scale, self.rotation

    def in_graph(self) -> tuple[Tensor, Tensor]:
        """Lambda and S as an autograd function takes them, so that it runs before what waits for the step's end."""
        scale = self.scale if self.step is None or not torch.is_grad_enabled() else self.step.join(self.scale)
        return scale, self.rotation

    def form_weight(self) -> Tensor:
        """W' = W + U (diag + S) V^T in the layout and dtype of the base layer; S goes to the side with fewer rows."""
        values, Ut, shared, pattern = self.change(), self.formed_Ut(), self.shared, self.adapter.pattern
        if self._pattern_on_U:
            left, right = pattern.transposed_times(values, Ut).T, shared.Vt
        else:
            left, right = Ut.T, pattern.times(values, shared.Vt).to(Ut.dtype)
        if self.transposed:
            left, right = right.T, left.T
        W = self.frozen.detach()
        formed = torch.addmm(W, left, right)
        # Products round otherwise over another layout, so that of W is kept.
        return formed if W.is_contiguous() else W.new_empty_strided(W.size(), W.stride()).copy_(formed)

    def formed_Ut(self) -> Tensor:
        """U^T = (W V^-T diag(1/lambda_0))^T, (n, m), in W's dtype; kept from the first call on."""
        if self.Ut is None:
            self.Ut = self._form_Ut()
        return self.Ut

    @torch.inference_mode(False)
    @torch.no_grad()
    def _form_Ut(self) -> Tensor:
        W = self.frozen.detach().T if self.transposed else self.frozen.detach()
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
        self.check_lambda()
        return self.adapter.pattern.values(self.scale.detach() - self.lambda_0, self.rotation.detach())

    @without_autocast()
    def project(self, dW: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of lambda (n,) and S (k,) from that of the weight (m, n): U^T dW V, at the pattern only."""
        Ut, Vt, pattern = self.formed_Ut(), self.shared.Vt, self.adapter.pattern
        dW = dW.to(Ut.dtype)
        if self._pattern_on_U:
            return pattern.sample(Ut, Vt @ dW.T)
        return pattern.sample((Ut @ dW).to(Vt.dtype), Vt)

    def gradient(self, dW: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Gradients of lambda and S from a micro-batch's dW (m, n); None for all of a step's but the last.

        Meanwhile dW is summed, in the adapter's precision.
        """
        if self.accumulating or self._dW is not None:
            self._dW = dW.to(self.lambda_0.dtype) if self._dW is None else self._dW.add_(dW)
            return (None, None) if self.accumulating else self.leftover()
        return self.project(dW)

    @property
    def waits(self) -> bool:
        """Whether a gradient waits for the last micro-batch of its step."""
        return self._dW is not None

    def leftover(self) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Gradients of lambda and S from what still waits when the last micro-batch is over."""
        if self._dW is None:
            return None, None
        dW, self._dW, self._formed = self._dW, None, None
        return self.project(dW)

    @property
    def _pattern_on_U(self) -> bool:
        # In half precision only V is kept exactly, so the sparse sums are taken over V.
        return self.out_features < self.in_features and self.frozen.dtype == self.shared.Vt.dtype

    def input_side_serves(self, itemsize: int) -> bool:
        """Whether "input_side", which needs the inverse of V, keeps the digits of products in numbers of so many bytes.

        Where lambda_0 is tiny, the changed input grows, only for W to shrink it again: half precision would lose x.
        """
        return not self.solve and (itemsize > 2 or self.even)

    def lighter(self, itemsize: int) -> str:
        """What to turn to when memory does not suffice."""
        keeps = f"FRoD: plan={self.plan!r} keeps U or forms W'"
        if self.input_side_serves(itemsize):
            return f"{keeps}; attach with plan='input_side', which needs neither."
        why = "V is badly conditioned" if self.solve else "lambda_0 is too uneven for half precision"
        return f"{keeps}, and plan='input_side' would lose digits: {why}. Take smaller batches, or adapt fewer blocks."

    def check_lambda(self) -> None:
        """Refuse a lambda that a wrapper took away, or rounded: what it learns is below half precision's steps."""
        scale = self.scale
        if scale.is_meta:
            raise ValueError(
                f"lambda of a layer of {self.category!r} is on the meta device: the model was offloaded after "
                "`attach`. Keep adapted layers on a device (4-bit weights take less of it), or merge before offloading."
            )
        if scale.dtype != self.lambda_0.dtype:
            raise ValueError(
                f"lambda arrives in {scale.dtype} and is kept in {self.lambda_0.dtype}: the wrapper of the model "
                "rounds its parameters. Leave that off (fully_shard: mp_policy=MixedPrecisionPolicy(); accelerate: "
                "mixed_precision='no') and cast the frozen model before `attach`, or use torch.autocast."
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.drop_cache()
        if recurse:
            for child in self.children():
                child._apply(fn)
            if self.quantised:
                follow(cast(nn.Module, self.base))
        keep = on_device_only(fn)
        return super()._apply(lambda tensor: (fn if tensor is self.Ut else keep)(tensor), recurse=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_formed": None, "_dW": None, "step": None}


def _read_now(layer: AdaptedWeight) -> Tensor:
    """`read` as a plain tensor: a graph cannot take one whose numbers are formed later."""
    return layer.read().clone()
