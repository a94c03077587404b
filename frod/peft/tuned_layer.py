"""A layer of peft's FRoD, computed by ours: its parameters and files are peft's, its arithmetic is FrodLinear's."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from peft.tuners.frod.config import FrodConfig
from peft.tuners.frod.layer import FrodLayer, Linear
from torch import Tensor, nn

from frod.method.attach import INVERSE_SERVES
from frod.method.linear import FrodLinear
from frod.method.products import SharedBasis, SparsePattern
from frod.method.targets import is_conv1d
from frod.peft.projections import Bases, Places


class Engine(FrodLinear):
    """What computes one adapter of a layer; lambda and S are the layer's parameters at each call."""

    layer: "TunedLinear"
    active: str

    def __init__(self, layer: "TunedLinear", adapter: str, shared: SharedBasis, pattern: SparsePattern) -> None:
        weight, bases = layer.frozen_weight(), cast(Bases, layer.frod_V)
        lambda_0 = bases.lambda_0(adapter, layer.path, layer.frozen_matrix())
        # What a lambda in half precision starts from is rounded like it.
        lambda_0 = lambda_0.to(layer.frod_lambda_l[adapter].dtype).to(weight.device)
        solve = bases.condition(adapter) * torch.finfo(shared.Vt.dtype).eps > INVERSE_SERVES[shared.Vt.dtype]
        super().__init__(layer.get_base_layer(), shared, category=bases.category, lambda_0=lambda_0, solve=solve)
        self.active, self.pattern = adapter, pattern
        # Past nn.Module: as a submodule the layer would be moved and counted twice.
        object.__setattr__(self, "layer", layer)
        self.made_for = layer.made_for(adapter)

    @property
    def adapter(self) -> Any:
        """Where lambda, S and its places are found: here."""
        return self

    @property
    def scale(self) -> Tensor:
        """Lambda as the arithmetic takes it."""
        return self.layer.frod_lambda_l[self.active].to(self.lambda_0)

    @property
    def rotation(self) -> Tensor:
        """The values of S as the arithmetic takes them."""
        return self.layer.frod_lambda_s_values[self.active].to(self.lambda_0)

    def _sources(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.frozen, self.layer.frod_lambda_l[self.active], self.layer.frod_lambda_s_values[self.active]

    @property
    def frozen(self) -> Tensor:
        """The frozen weight, also while an adapter is merged into the layer's own."""
        return cast(Tensor, self.layer.frozen_weight())

    @property
    def bias(self) -> Tensor | None:
        """The bias; zeros where it trains, as the layer adds it then."""
        bias = cast("Tensor | None", self.base.bias)
        return torch.zeros_like(bias) if bias is not None and bias.requires_grad else bias


class _FormedU(Mapping[str, Tensor]):
    """U (m, n) by adapter, formed when it is asked for."""

    def __init__(self, layer: "TunedLinear") -> None:
        self.layer = layer

    def __getitem__(self, adapter: str) -> Tensor:
        if adapter not in self.layer.frod_lambda_l:
            raise KeyError(adapter)
        return self.layer.engine(adapter).formed_Ut().T

    def __iter__(self) -> Iterator[str]:
        return iter(self.layer.frod_lambda_l.keys())

    def __len__(self) -> int:
        return len(self.layer.frod_lambda_l)


class TunedLinear(Linear):
    """peft's adapted layer with our arithmetic; `path` is its name in the model."""

    other_param_names = (*(name for name in FrodLayer.other_param_names if name != "frod_U"), "engines")

    def __init__(self, base_layer: nn.Module, *args: Any, path: str, **kwargs: Any) -> None:
        self.__dict__["path"], self.__dict__["engines"] = path, {}
        super().__init__(base_layer, *args, **kwargs)
        del self._modules["frod_U"]  # U comes from the property

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"engines": {}}

    @property
    def frod_U(self) -> Mapping[str, Tensor]:
        """U of each adapter, from the V at hand."""
        return _FormedU(self)

    def update_layer(
        self, adapter_name: str, frod_V: Bases, frod_s_indices: Places, frod_s_size: Any, config: FrodConfig
    ) -> None:
        """Add an adapter, as peft's method of this name does; U is left for when it is needed."""
        self.runtime_offload_base_weight[adapter_name] = config.runtime_offload_base_weight
        self.r[adapter_name] = self.out_features
        dropout = config.frod_dropout
        self.frod_dropout[adapter_name] = nn.Dropout(p=dropout) if dropout > 0.0 else nn.Identity()
        if adapter_name not in frod_V:
            # Adapters of a model share V and the places of S.
            first = next(iter(frod_V))
            for shared in (frod_V, frod_s_indices, frod_s_size):
                shared[adapter_name] = shared[first]
        self._set_shared_projection_buffers(frod_V, frod_s_indices, frod_s_size)
        device, dtype = self._get_adapter_target_device_dtype(self.get_base_layer().weight)
        # A lambda rounded to half precision would not be the one that W follows from.
        dtype = torch.promote_types(dtype, torch.float32)
        lambda_ = frod_V.lambda_0(adapter_name, self.path, self.frozen_matrix()).to(device, dtype, copy=True)
        values = torch.zeros(frod_s_indices[adapter_name].shape[1], device=device, dtype=dtype)
        if not config.init_weights:
            nn.init.normal_(values, std=0.1)
            lambda_ += torch.randn_like(lambda_) * 0.1
        self.frod_lambda_s_values[adapter_name] = nn.Parameter(values)
        self.frod_lambda_l[adapter_name] = nn.Parameter(lambda_)
        self.set_adapter(self.active_adapters)

    def frozen_matrix(self) -> Tensor:
        """The frozen weight as W (m, n)."""
        weight = self.frozen_weight().detach()
        return weight.T if is_conv1d(self.get_base_layer()) else weight

    def frozen_weight(self) -> Tensor:
        """The frozen weight as the base layer keeps it, also while something is merged into that."""
        return cast(Tensor, self._get_base_weight_before_merge() if self.merged else self.get_base_layer().weight)

    def made_for(self, adapter: str) -> tuple[Any, ...]:
        """What an engine depends on besides V and the places of S."""
        weight = self.get_base_layer().weight
        return weight.device, weight.dtype, self.frod_lambda_l[adapter].dtype

    def engine(self, adapter: str) -> Engine:
        """What computes an adapter; made once more when V, the places of S, a device or a dtype changed."""
        weight = self.get_base_layer().weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        shared = cast(Bases, self.frod_V).placed(adapter, weight.device, dtype)
        pattern = cast(Places, self.frod_s_indices).pattern(adapter, shared.Vt.shape[0], weight.device)
        engine = self.engines.get(adapter)
        if (
            engine is None
            or engine.shared is not shared
            or engine.pattern is not pattern
            or (engine.made_for != self.made_for(adapter))
        ):
            engine = self.engines[adapter] = Engine(self, adapter, shared, pattern)
        if engine.training != self.training:
            engine.train(self.training)
        return cast(Engine, engine)

    def get_delta_weight(self, adapter: str) -> Tensor:
        """W' - W in the layout and dtype of the base layer."""
        self._move_base_weight_to_device_of_adapter(adapter)
        self._get_base_weight_before_merge()  # kept for `unmerge`
        with torch.no_grad():
            engine = self.engine(adapter)
            return engine.form_weight() - engine.frozen

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer with the adapters in use."""
        if torch.compiler.is_compiling():
            from frod.method.uncompiled import call

            return call(TunedLinear.compute, self, x, *args, **kwargs)
        return self.compute(x, *args, **kwargs)

    def compute(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """What `forward` does, whether or not the model around it is compiled."""
        active = [name for name in self.active_adapters if name in self.frod_lambda_s_values]
        offloaded = x.device.type != "cpu" and any(self.runtime_offload_base_weight[name] for name in active)
        if self.disable_adapters or self.merged or not active or offloaded:
            # Offloading is of peft's form U (diag(lambda) + S) V^T, which needs no W; ours adds to W.
            return cast(Tensor, super().forward(x, *args, **kwargs))
        self._move_base_weight_to_device(x.device)
        weight, bias = self.get_base_layer().weight, self.get_base_layer().bias
        h = x if torch.is_autocast_enabled(x.device.type) else x.to(weight.dtype)
        if len(active) == 1 and not self._drops(active[0]):
            y = self.engine(active[0])(h)
        else:
            y = self.base_layer(h, *args, **kwargs)
            for name in active:
                y = y + self._change(self.engine(name), self.frod_dropout[name](h))
            return y.to(x.dtype)
        if bias is not None and bias.requires_grad:
            y = y + bias.to(y.dtype)
        return y.to(x.dtype)

    def _drops(self, adapter: str) -> bool:
        dropout = self.frod_dropout[adapter]
        return isinstance(dropout, nn.Dropout) and dropout.training

    def _change(self, engine: Engine, h: Tensor) -> Tensor:
        """What an adapter adds to the frozen layer's output: nothing, to the bit, at its start."""
        y = engine(h)
        with torch.autocast(h.device.type, enabled=False):
            return y - engine.apply_base(h.to(y.dtype))
