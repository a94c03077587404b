"""No tensor of an adapted model stays on the processor: neither in a step, nor where it is merged, saved or extracted.

The device is torch's pretence of one; see without_numbers.py for what it cannot show.
"""

from types import SimpleNamespace

import pytest
import torch
from micro_models import HEADS, adapted, examples, model
from without_numbers import APART, places

import frod
from frod import backbones
from frod.method import decomposition, strategies
from frod.method.linear import all_layers
from frod.method.products import SparsePattern

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
PLANS = ("materialised", "factored", "input_side")
MODELS = pytest.mark.parametrize("name", list(HEADS))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def tensors(model):
    """Parameters, buffers, and what else modules hold."""
    others = (value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor))
    return [*model.parameters(), *model.buffers(), *others]


def inputs(name, device, dtype=torch.float32):
    batch = examples(name).batch(torch.arange(4).numpy(), device)
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in batch.items()}


def forward(adapted, name, device, dtype=torch.float32, grad=True):
    with torch.set_grad_enabled(grad):
        return backbones.logits(adapted, inputs(name, device, dtype))


@pytest.mark.parametrize("plan", PLANS)
@DTYPES
@MODELS
def test_a_step_and_an_evaluation_stay_on_the_device(cuda, name, dtype, plan):
    here = adapted(name, dtype, plan).to(cuda)
    for training in (True, False):
        found = forward(here.train(training), name, cuda, dtype, grad=training)
        assert (found.device, found.dtype, found.shape) == (cuda, dtype, (4, 3))
    assert places(tensors(here)) == {"cuda"}


def backward(layer, plan, dtype, device):
    """The gradients of a layer by its autograd function, called as autograd's engine would."""
    function = {"materialised": strategies._Materialised, "factored": strategies._Factored}.get(plan)
    x, given = torch.ones(2, 5, layer.in_features, dtype=dtype).to(device), ()
    if function is None:
        function, given = strategies._InputSide, (dtype,)
    context = SimpleNamespace(needs_input_grad=[True] * 4)
    context.save_for_backward = lambda *saved: setattr(context, "saved_tensors", saved)
    with torch.no_grad():
        y = function.forward(context, x, *layer.in_graph(), layer, *given)
        dx, d_scale, d_rotation, *_ = function.backward(context, torch.ones_like(y))
    assert (dx.shape, d_scale.shape, d_rotation.shape) == (x.shape, layer.scale.shape, layer.rotation.shape)
    return dx, d_scale, d_rotation


@pytest.mark.parametrize("plan", PLANS)
@DTYPES
@MODELS
def test_gradients_stay_on_the_device(cuda, name, dtype, plan):
    here = adapted(name, dtype, plan).to(cuda).train()
    for layer in all_layers(here):
        found = backward(layer, plan, dtype, cuda)
        assert places(found) == {"cuda"} and found[0].dtype == dtype


@DTYPES
@MODELS
def test_a_basis_is_extracted_on_the_device_and_kept_on_the_processor(cuda, name, dtype):
    for plain, device in ((model(name, dtype).to(cuda), None), (model(name, dtype), cuda)):
        basis = frod.extract_basis(plain, device=device, progress=False)
        assert places(basis.tensors().values()) == {"cpu"}


@DTYPES
@MODELS
def test_adapters_are_attached_switched_read_and_merged_on_the_device(cuda, name, dtype):
    plain = model(name, dtype)
    basis = frod.extract_basis(plain, progress=False)
    here = frod.attach(plain.to(cuda), basis, sparse_rate=0.1, train=HEADS[name])
    frod.attach(here, basis, sparse_rate=0.2, name="other", train=HEADS[name])
    frod.set_adapter(here, "default")
    forward(here, name, cuda, dtype)
    assert places(tensors(here)) == {"cuda"}
    assert places([*all_layers(here)[0].pattern_places(), all_layers(here)[0].weight + 0]) == {"cuda"}
    frod.merge(here)
    assert forward(here, name, cuda, dtype).device == cuda and not all_layers(here)


@DTYPES
@MODELS
def test_an_adapter_is_saved_from_the_device_and_loaded_to_it(cuda, name, dtype, tmp_path):
    here = adapted(name, dtype).to(cuda)
    frod.save_adapter(here, tmp_path / "with", with_basis=True)
    loaded = frod.load_adapter(model(name, dtype).to(cuda), tmp_path / "with")
    frod.load_adapter(here, tmp_path / "with")
    assert places(tensors(loaded)) == places(tensors(here)) == {"cuda"}
    assert forward(loaded.train(), name, cuda, dtype).device == cuda


KEPT = {"materialised": ["Vt", "columns", "Ut"], "factored": ["Vt", "columns", "Ut"], "input_side": ["V_inv_t", "crow"]}


@pytest.mark.parametrize(("plan", "kept"), [(plan, kept) for plan in PLANS for kept in [*KEPT[plan], "lambda_0"]])
def test_a_buffer_that_is_left_on_the_processor_is_found(cuda, plan, kept):
    """Each of those that a forward reads, on its own."""
    here = adapted("llama", plan=plan).to(cuda).train()
    forward(here, "llama", cuda)
    leave(all_layers(here)[0], kept)
    with pytest.raises(RuntimeError, match=APART):
        forward(here, "llama", cuda)


@pytest.mark.parametrize(("plan", "kept"), [("materialised", "Ut"), ("factored", "columns_t"), ("input_side", "Vt")])
def test_a_buffer_that_gradients_read_is_found(cuda, plan, kept):
    layer = all_layers(adapted("llama", plan=plan).to(cuda).train())[0]
    backward(layer, plan, torch.float32, cuda)
    leave(layer, kept)
    with pytest.raises(RuntimeError, match=APART):
        backward(layer, plan, torch.float32, cuda)


def leave(layer, name):
    """Have one of the tensors that a layer reads on the processor."""
    for holder in (layer, layer.shared, layer.adapter.pattern):
        if name in holder._buffers:
            holder._buffers[name] = torch.zeros(holder._buffers[name].shape, dtype=holder._buffers[name].dtype)


def test_a_tensor_that_does_not_move_with_its_module_is_found(cuda, monkeypatch):
    here = adapted("llama")
    monkeypatch.setattr(SparsePattern, "_apply", lambda pattern, fn, recurse=True: pattern)
    assert places(tensors(here.to(cuda))) == {"cuda", "cpu"}
    with pytest.raises(RuntimeError, match=APART):
        forward(here.train(), "llama", cuda)


def test_a_pattern_that_is_attached_on_the_processor_is_found(cuda, monkeypatch):
    plain = model("llama")
    basis = frod.extract_basis(plain, progress=False)
    monkeypatch.setattr(SparsePattern, "to", lambda pattern, *_: pattern)
    with pytest.raises(RuntimeError, match=APART):
        forward(frod.attach(plain.to(cuda), basis, train=["score"]).train(), "llama", cuda)


def test_a_weight_that_is_formed_on_the_processor_is_found_where_it_is_merged(cuda):
    here = adapted("llama").to(cuda)
    leave(all_layers(here)[0], "Vt")
    with pytest.raises(RuntimeError, match=APART):
        frod.merge(here)


def test_vectors_on_the_processor_are_found_where_a_basis_is_extracted(cuda, monkeypatch):
    on_cpu = decomposition.probes
    monkeypatch.setattr(decomposition, "probes", lambda n, device: on_cpu(n, torch.device("cpu")))
    with pytest.raises(RuntimeError, match=APART):
        frod.extract_basis(model("llama").to(cuda), progress=False)
