"""peft's FRoD model over our basis and our layers; configuration, names and files are peft's."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.frod.config import FrodConfig
from peft.tuners.frod.layer import Linear
from peft.tuners.frod.model import FrodModel
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, _maybe_include_all_linear_layers
from torch import Tensor, nn

from frod import numerics
from frod.method.basis import ALGORITHM_VERSION, Basis, CategoryBasis
from frod.method.decomposition import DEGENERATE
from frod.method.extraction import extract_categories
from frod.method.identity import weight_of, weights_hash
from frod.method.quantised import is_quantised
from frod.method.targets import Target, is_conv1d
from frod.peft.layers import category_of_name, index_of_name
from frod.peft.projections import Bases, Places, draw
from frod.peft.tuned_layer import TunedLinear
from frod.provenance import cache

Groups = dict[str, dict[str, Target]]


class Tuner(FrodModel):
    """peft's `FrodModel` with our basis, taken from the cache where it has it, and our arithmetic.

    V, the places of S and the size of S are each by category and adapter.
    """

    frod_V: Any
    frod_s_indices: Any
    frod_s_size: Any

    @classmethod
    def take_over(cls, model: FrodModel) -> None:
        """Make a model of peft's own one of this class, in place."""
        bases: Any = nn.ModuleDict()
        places: Any = nn.ModuleDict()
        for category, held in model.frod_V.items():
            bases[category] = Bases(category, persistent=held.persistent)
            places[category] = Places(persistent=held.persistent)
            for adapter in held:
                bases[category][adapter] = held[adapter]
                places[category][adapter] = model.frod_s_indices[category][adapter]
        model.frod_V, model.frod_s_indices = bases, places
        for path, layer in model.model.named_modules():
            if isinstance(layer, Linear):
                category = category_of_name(path)
                del layer._modules["frod_U"]
                layer.__class__ = TunedLinear
                layer.__dict__ |= {"path": path, "engines": {}}
                layer._set_shared_projection_buffers(bases[category], places[category], model.frod_s_size[category])
        model.__class__ = cls

    def _check_new_adapter_config(self, config: FrodConfig) -> None:
        super()._check_new_adapter_config(config)
        for name, other in self.peft_config.items():
            if other.sparse_rate != config.sparse_rate and set(self._groups(config)) & set(self.frod_V):
                # peft would give it the other's places without a word.
                raise ValueError(
                    f"sparse_rate={config.sparse_rate}, but {other.sparse_rate} of the adapter {name!r}: adapters of a "
                    "layer share the places of S, so give them one rate"
                )

    def _init_frod_projections(self, config: FrodConfig, adapter_name: str) -> None:
        groups = self._groups(config)
        if not hasattr(self, "frod_V"):
            self.frod_V, self.frod_s_indices, self.frod_s_size = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        found = bases(groups, config.regularization_alpha, progress=config.progressbar)
        generator = torch.Generator(device="cpu").manual_seed(config.projection_prng_key)
        for category, layers in sorted(groups.items()):
            if category not in self.frod_V:
                self.frod_V[category] = Bases(category, persistent=config.save_projection)
                self.frod_s_indices[category] = Places(persistent=config.save_projection)
                self.frod_s_size[category] = BufferDict({}, persistent=config.save_projection)
            n = found[category].n
            self.frod_V[category].put(adapter_name, found[category], weight_of(next(iter(layers.values()))).dtype)
            self.frod_s_indices[category][adapter_name] = draw(n, config.sparse_rate, generator)
            self.frod_s_size[category][adapter_name] = torch.tensor([n, n])

    def _groups(self, config: FrodConfig) -> Groups:
        """The layers that a configuration takes, by category, in the order in which peft stacks them."""
        config = self._prepare_adapter_config(config, self.get_model_config(self.model))
        config = _maybe_include_all_linear_layers(config, self.model)
        blocks: dict[str, dict[int, str]] = {}
        layers: dict[str, Target] = {}
        count = 0
        for path, module in self.model.named_modules():
            if not self._check_target_module_exists(config, path):
                continue
            base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
            _check_layer(path, base)
            blocks.setdefault(category_of_name(path), {})[index_of_name(path, count)] = path
            layers[path] = base
            count += 1
        if not layers:
            raise ValueError(
                "No layer types compatible with FRoD were found. Please check `peft_config.target_modules`: "
                f"{config.target_modules!r}."
            )
        return {
            category: {path: layers[path] for _, path in sorted(found.items())} for category, found in blocks.items()
        }

    def _create_and_replace(
        self,
        frod_config: FrodConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        category = category_of_name(current_key)
        if category not in self.frod_V:
            self._init_frod_projections(frod_config, adapter_name)
        shared = self.frod_V[category], self.frod_s_indices[category], self.frod_s_size[category]
        if isinstance(target, TunedLinear):
            target.update_layer(adapter_name, *shared, config=frod_config)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        _check_layer(current_key, base)
        conv1d = is_conv1d(base)
        if frod_config.fan_in_fan_out != conv1d:
            kind = "`Conv1D`" if conv1d else "`torch.nn.Linear`"
            warnings.warn(
                f"fan_in_fan_out is set to {not conv1d} but the target module is {kind}. Setting fan_in_fan_out to "
                f"{conv1d}.",
                stacklevel=2,
            )
            frod_config.fan_in_fan_out = conv1d
        layer = TunedLinear(
            target, *shared, adapter_name, config=frod_config, is_target_conv_1d_layer=conv1d, path=current_key
        )
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        BaseTuner._cast_adapter_dtype(self, adapter_name, autocast_adapter_dtype)
        if autocast_adapter_dtype:
            return
        for layer in self.model.modules():
            if isinstance(layer, TunedLinear) and adapter_name in layer.frod_lambda_l:
                for trained in (layer.frod_lambda_l, layer.frod_lambda_s_values):
                    trained[adapter_name].data = trained[adapter_name].data.to(layer.get_base_layer().weight.dtype)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: FrodConfig, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        remapped = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        tuner = model.base_model
        groups: Groups | None = None
        for category, here in tuner.frod_V.items():
            V = remapped.get(f"base_model.frod_V.{category}.{adapter_name}")
            if V is not None and adapter_name in here and not here.holds(adapter_name, V):
                groups = tuner._groups(config) if groups is None else groups
                layers = {path: weight_of(layer) for path, layer in groups.get(category, {}).items()}
                here.take_stored(adapter_name, V, layers)
        for name, parameter in model.named_parameters():
            if name in remapped and remapped[name].shape != parameter.shape:
                raise ValueError(
                    f"{name} is {tuple(remapped[name].shape)} in the checkpoint and {tuple(parameter.shape)} for this "
                    "model: load it into the base model that it was trained on."
                )
        return remapped


def _check_layer(path: str, base: nn.Module) -> None:
    if is_quantised(base) or not (isinstance(base, nn.Linear) or is_conv1d(base)):
        raise TypeError(
            f"Target module {path!r} is a {type(base).__name__}, which is not supported. Currently, only the following "
            "modules are supported: `torch.nn.Linear`, `transformers.pytorch_utils.Conv1D`; name others in "
            "`target_modules` or `exclude_modules`."
        )


def bases(groups: Groups, ridge: float, *, progress: bool) -> dict[str, CategoryBasis]:
    """The bases of a model's categories: from the cache of the workflow, which they are put into otherwise."""
    weights = weights_hash({path: layer for layers in groups.values() for path, layer in layers.items()})
    made_of = {"kind": "basis of peft's categories", "weights": weights, "ridge": ridge}
    made_of |= {"categories": {category: list(layers) for category, layers in groups.items()}}
    key = cache.key_of(made_of | {"algorithm": [ALGORITHM_VERSION, DEGENERATE], "numerics": numerics.facts()})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "basis"
        if cache.fetch(key, folder):
            return Basis.load(folder).categories
        found = extract_categories(groups, ridge=ridge, progress=progress)
        targets = tuple(path for layers in groups.values() for path in layers)
        Basis(categories=found, model_hash=weights, targets=targets, ridge=ridge).save(folder)
        cache.store(key, folder)
    return found
