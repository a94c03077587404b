"""FRoD over 4 and 8-bit weights: nothing changes at the start, gradients are those of the dense formula on the weights
that are really multiplied with, and what cannot be trained or identified is refused with its reason."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from toy import adapt, assert_equal, gradients, outputs, train

import frod
from frod.method import quantised, strategies
from frod.method.linear import FrodLinear
from frod.method.state import frod_layers

bnb = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install -e '.[quantised]'")

KINDS = ["nf4", "fp4", "nf4-double", "int8"]
every_kind = pytest.mark.parametrize("kind", KINDS)
N = 64


def packed(m, n, kind, bias=True, dtype=torch.float32, seed=0):
    """A quantised layer, and the weight it was made from."""
    W = torch.randn(m, n, generator=torch.Generator().manual_seed(seed)) / n**0.5
    if kind == "int8":
        layer = bnb.nn.Linear8bitLt(n, m, bias=bias, has_fp16_weights=False)
    else:
        form, _, double = kind.partition("-")
        layer = bnb.nn.Linear4bit(
            n, m, bias=bias, quant_type=form, compress_statistics=bool(double), compute_dtype=dtype
        )
    layer.weight.data.copy_(W)
    layer.weight.data = layer.weight.data.to(dtype)
    if bias:
        layer.bias.data = torch.linspace(-1, 1, m, dtype=dtype)
    return layer.to("cpu"), W


class Net(nn.Module):
    """Three blocks with a square, a tall and a wide layer; with two, V of the wide ones would be badly conditioned."""

    def __init__(self, make):
        super().__init__()
        sizes = {"square": (N, N), "tall": (2 * N, N), "wide": (N, 2 * N)}
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: make(m, n, 10 * i + j) for j, (name, (m, n)) in enumerate(sizes.items())})
            for i in range(3)
        )

    def forward(self, x):
        for block in self.blocks:
            for layer in block.values():
                x = torch.tanh(layer(x))
        return x


TARGETS = ["square", "tall", "wide"]


def net(kind, dtype=torch.float32):
    return Net(lambda m, n, seed: packed(m, n, kind, bias=m != N, dtype=dtype, seed=seed)[0]).eval()


def dense_twin(model):
    """The same model with plain float32 layers of the de-quantised weights."""

    twin = copy.deepcopy(model)
    for block in twin.blocks:
        for name, layer in list(block.items()):
            block[name] = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
            block[name].weight.data = quantised.dequantised(layer)
            if layer.bias is not None:
                block[name].bias.data = layer.bias.detach().float()
    return twin


def attached(model, by=0.0):
    return shift(adapt(model, TARGETS, sparse_rate=0.05), by)


def shift(model, by):
    """Change lambda and S, in proportion to the lambda_0 of their row: in bfloat16 x' would else lose x next to it."""
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, layer in frod_layers(model):
            rows, _ = layer.pattern_places()
            layer.scale.add_(by * layer.lambda_0 * torch.randn(layer.scale.shape, generator=g))
            layer.rotation.add_(by * layer.lambda_0[rows] * torch.randn(rows.shape, generator=g))
    return model


def relative(found, expected):
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


# The weight


@every_kind
def test_the_dequantised_weight_is_the_one_the_layer_multiplies_with(kind):
    layer, W = packed(2 * N, N, kind, bias=False)
    found = quantised.dequantised(layer)
    # A row of the identity picks a column of the weight, without rounding; in training, 8-bit layers leave x in full.
    assert torch.equal(found, layer.train()(torch.eye(N)).T)
    assert found.dtype == torch.float32
    assert relative(found, W) < (0.01 if kind == "int8" else 0.15)


def test_the_dtype_before_quantising_does_not_round_the_weight():
    layer, _ = packed(2 * N, N, "nf4", bias=False, dtype=torch.bfloat16)
    code = layer.weight.quant_state.code
    bits = layer.weight.data.view(-1)
    numbers = code[torch.stack([bits >> 4, bits & 15], dim=1).view(-1).long()].view(-1, 64)
    assert torch.equal(quantised.dequantised(layer).view(-1, 64), numbers * layer.weight.quant_state.absmax[:, None])


@every_kind
def test_the_basis_is_that_of_the_dequantised_weights(kind):
    model = net(kind)
    basis = frod.extract_basis(model, TARGETS, progress=False)
    expected = frod.extract_basis(dense_twin(model), TARGETS, progress=False)
    assert basis.model_hash != expected.model_hash
    for name, category in basis.categories.items():
        assert torch.equal(category.V, expected.categories[name].V)
        for canonical, lambda_0 in category.lambda_0.items():
            W = quantised.dequantised(model.get_submodule(canonical)).double()
            B = W @ torch.linalg.inv(category.V.double()).T
            torch.testing.assert_close(B.norm(dim=0), lambda_0.double(), rtol=1e-4, atol=1e-6)
            assert relative((B / lambda_0) * lambda_0 @ category.V.double().T, W) < 1e-9


@every_kind
def test_counts_are_of_numbers_and_not_of_what_they_are_packed_into(kind):
    model = net(kind)
    counts = frod.predict_parameters(model, TARGETS, sparse_rate=0.05)
    assert counts == frod.predict_parameters(dense_twin(model), TARGETS, sparse_rate=0.05)
    assert frod.count_parameters(attached(model)) == counts


# What is computed


@pytest.mark.parametrize("mode", ["float32", "bfloat16", "autocast"])
@pytest.mark.parametrize("training", [True, False])
@every_kind
def test_nothing_changes_at_the_start(kind, training, mode):
    dtype = torch.bfloat16 if mode == "bfloat16" else torch.float32
    model = net(kind, dtype).train(training)
    quantised.prepare(model)  # the comparison is with bitsandbytes' own result on any CPU
    x = torch.randn(3, 5, N, generator=torch.Generator().manual_seed(1)).to(dtype)
    plain = copy.deepcopy(model)
    attached(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
        with torch.no_grad():
            before = plain(x)
            assert torch.equal(model(x), before)
        after = model(x)
    assert after.dtype == before.dtype and torch.equal(after, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", TARGETS)
@every_kind
def test_output_and_gradients_are_those_of_the_dense_formula(kind, name, dtype):
    model = attached(net(kind, dtype), 0.5)
    basis, layer = model._frod.basis, model.blocks[1][name].train()
    x = torch.randn(6, layer.in_features, generator=torch.Generator().manual_seed(2)).to(dtype).requires_grad_()
    dy = torch.randn(6, layer.out_features, generator=torch.Generator().manual_seed(3)).to(dtype)
    y = layer(x)
    found = (y, *torch.autograd.grad(y, [x, layer.scale, layer.rotation], dy))

    # W' = W (I + K), K = V^-T diag(1 / lambda_0) (diag(lambda - lambda_0) + S) V^T, in float64 by plain autograd.
    W, V = quantised.dequantised(layer.base).double(), basis.categories[f"blocks.*.{name}"].V.double()
    lambda_0 = basis.categories[f"blocks.*.{name}"].lambda_0[f"blocks.1.{name}"].double()
    inputs = [t.detach().double().requires_grad_() for t in (x, layer.scale, layer.rotation)]
    S = torch.zeros(len(V), len(V), dtype=torch.float64).index_put(layer.pattern_places(), inputs[2])
    K = torch.linalg.inv(V).T @ ((torch.diag(inputs[1] - lambda_0) + S) / lambda_0[:, None]) @ V.T
    expected = inputs[0] @ (W + W @ K).T + (0 if layer.bias is None else layer.bias.double())
    expected = (expected, *torch.autograd.grad(expected, inputs, dy.double()))
    assert relative(expected[0], inputs[0] @ W.T) > 0.3  # the adapter does something

    # Gradients by relative change: over a tiny lambda_0, what bfloat16 rounds in x' and dx' is divided by it.
    units = [1, 1, lambda_0, lambda_0[layer.pattern_places()[0]]]
    for ours, theirs, unit in zip(found, expected, units):
        assert relative(ours * unit, theirs * unit) < (1e-5 if dtype == torch.float32 else 0.02)
    assert found[2].dtype == found[3].dtype == torch.float32


def test_8_bit_layers_in_evaluation_quantise_the_changed_input():
    model = attached(net("int8"), 0.5)
    layer = model.blocks[0]["tall"]
    x = torch.randn(7, N, generator=torch.Generator().manual_seed(2))
    in_full = layer.train()(x)
    with torch.no_grad():
        assert 0 < relative(layer.eval()(x), in_full) < 0.02


def test_autocast_takes_the_products_beside_the_layer_to_its_dtype(monkeypatch):
    dtypes = []
    changed_input = strategies.changed_input
    monkeypatch.setattr(strategies, "changed_input", lambda *a: dtypes.append(a[2]) or changed_input(*a))
    layer = attached(net("nf4"), 0.5).blocks[0]["tall"]
    x = torch.randn(5, N, generator=torch.Generator().manual_seed(2)).requires_grad_()
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = layer(x)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, layer.scale, layer.rotation])])
    in_full, coarse = results
    assert dtypes == [torch.float32, torch.bfloat16] and coarse[0].dtype == torch.float32
    for ours, theirs in zip(coarse, in_full):
        assert ours.dtype == theirs.dtype and 1e-4 < relative(ours, theirs) < 0.03


@pytest.mark.parametrize("plan", ["materialised", "factored"])
def test_plans_that_need_the_weight_are_refused_and_nothing_is_attached(plan):
    model = net("nf4")
    basis = frod.extract_basis(model, TARGETS, progress=False)
    with pytest.raises(ValueError, match=f"plan='{plan}' needs the weight itself"):
        frod.attach(model, basis, plan=plan)
    assert not any(isinstance(module, FrodLinear) for module in model.modules())
    for _, layer in frod_layers(frod.attach(model, basis, plan="auto")):
        assert layer.plan == layer.strategy(10**6) == layer.strategy(1) == "input_side"


# What identifies it


@every_kind
def test_the_hash_stays_after_forwards_moves_and_copies(kind):
    model = net(kind)
    quantised.prepare(model)
    x = torch.randn(4, N)
    expected = frod.model_hash(model, [f"blocks.{i}.{name}" for i in range(3) for name in TARGETS])
    for training in (True, False):
        with torch.no_grad():
            model.train(training)(x)
        for other in (model, copy.deepcopy(model), model.to("cpu")):
            assert frod.extract_basis(other, TARGETS, progress=False).model_hash == expected
    assert frod.model_hash(attached(model)) == expected


@every_kind
def test_the_hash_tells_numbers_scales_and_formats_apart(kind):
    names = ["blocks.0.square"]
    hashes = {frod.model_hash(net(other), names) for other in KINDS}
    assert len(hashes) == len(KINDS)
    for part in range({"int8": 2, "nf4-double": 4}.get(kind, 2)):
        model = net(kind)
        weight = model.blocks[0]["square"].weight
        if kind == "int8":
            parts = [weight.data, weight.SCB]
        else:
            state = weight.quant_state
            parts = [weight.data, state.absmax, *([state.state2.absmax, state.offset] if state.nested else [])]
        parts[part].view(-1)[-1] += 1
        assert frod.model_hash(model, names) not in hashes


def test_another_model_is_refused_with_both_hashes():
    basis = frod.extract_basis(net("nf4"), TARGETS, progress=False)
    other = net("nf4")
    other.blocks[1]["wide"].weight.data[3] ^= 1
    found = frod.extract_basis(other, TARGETS, progress=False).model_hash
    with pytest.raises(ValueError, match=f"{found}.*{basis.model_hash}.*other weights"):
        frod.attach(other, basis)


# What is refused


def test_merging_is_refused_and_leaves_the_adapter():
    model = attached(net("int8"), 0.3)
    with pytest.raises(ValueError, match="quantised, and a merged weight would have to be rounded"):
        frod.merge(model)
    assert isinstance(model.blocks[0]["tall"], FrodLinear)


@pytest.mark.parametrize("kind", [bnb.nn.Linear4bit, bnb.nn.LinearNF4, bnb.nn.Linear8bitLt])
def test_a_layer_that_was_never_moved_is_refused(kind):
    settings = {"has_fp16_weights": False} if kind is bnb.nn.Linear8bitLt else {}
    model = Net(lambda m, n, seed: kind(n, m, **settings))
    with pytest.raises(ValueError, match=r"is not quantised yet.*model.to"):
        frod.extract_basis(model, TARGETS, progress=False)
    with pytest.raises(ValueError, match="is not quantised yet"):
        frod.model_hash(model, ["blocks.0.square"])
    assert frod.extract_basis(model.to("cpu"), TARGETS, progress=False).model_hash


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: bnb.nn.Linear8bitLt(N, N, has_fp16_weights=True), "Make it with has_fp16_weights=False"),
        (lambda: bnb.nn.Embedding4bit(N, N), "'words', a Embedding4bit"),
    ],
)
def test_layers_that_are_not_frozen_and_linear_are_refused(layer, message):
    model = nn.ModuleDict({"words": layer(), "square": packed(N, N, "nf4")[0]}).to("cpu")
    with pytest.raises(ValueError, match=message):
        frod.extract_basis(model, ["words"], progress=False)


def test_a_quantised_head_cannot_train_in_full():
    model = net("nf4")
    model.head = packed(2 * N, N, "nf4")[0]
    basis = frod.extract_basis(model, TARGETS, progress=False)
    with pytest.raises(ValueError, match=r"train names 'head'.*quantised.*llm_int8_skip_modules"):
        frod.attach(model, basis, train=["head"])
    assert isinstance(model.blocks[0]["tall"], bnb.nn.Linear4bit)


# CPUs with AVX512-BF16, as they act on any: the repacking itself is plain torch


def test_a_layer_repacked_for_inference_is_refused():
    model = net("nf4-double")
    basis = frod.extract_basis(model, TARGETS, progress=False)
    model.extra = packed(N, N, "nf4")[0]
    model.extra.support_avx512bf16_for_cpu = True
    with torch.no_grad():
        model.extra.eval()(torch.randn(2, N))
    with pytest.raises(ValueError, match=r"layer 'extra'.*repacked.*before the first forward"):
        frod.attach(model, basis)  # an unadapted layer would stop the gradients of those below it
    assert isinstance(model.blocks[0]["tall"], bnb.nn.Linear4bit)


def test_attaching_keeps_layers_from_being_repacked():
    model = net("nf4-double")
    model.extra = packed(N, N, "nf4")[0]
    for layer in [*(layer for block in model.blocks for layer in block.values()), model.extra]:
        layer.support_avx512bf16_for_cpu = True
    attached(model)
    x = torch.randn(2, N)
    with torch.no_grad():
        model.eval()(x)
        model.extra.eval()(x)
    assert frod.model_hash(model) == model._frod.basis.model_hash
    quantised.check(model.extra)


# Moving and saving


@pytest.mark.parametrize("training", [True, False])
def test_8_bit_scales_and_numbers_follow_the_layer(training):
    model = attached(net("int8"), 0.3)
    x = torch.randn(3, N)
    for forwards in (0, 1):
        for _ in range(forwards):
            expected = model.train(training)(x)
        model._apply(torch.clone)  # as a move: every tensor is made again
        base = model.blocks[0]["tall"].base
        numbers = [holder.CB for holder in (base.weight, base.state) if holder.CB is not None]
        assert numbers and all(tensor.data_ptr() == base.weight.data_ptr() for tensor in numbers)
    assert torch.equal(model(x), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_kind
def test_an_adapted_model_moves_between_devices(kind):
    model = attached(net(kind), 0.3)
    x = torch.randn(3, N)
    here = model.train()(x)
    model.to("cuda")
    there = model(x.cuda())
    there.square().sum().backward()
    assert relative(there.cpu(), here) < 0.03
    assert frod.model_hash(model) == model._frod.basis.model_hash
    assert torch.equal(model.to("cpu")(x), here)


# A transformer, as its users load it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": N, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(**sizes, vocab_size=50, pad_token_id=0, num_labels=2, initializer_range=0.1)
    path = tmp_path_factory.mktemp("llama")
    transformers.LlamaForSequenceClassification(config).save_pretrained(path)
    return path


LOADS = {
    "4 bits": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "8 bits": {"load_in_8bit": True},
}


@pytest.fixture(params=LOADS)
def load(request, folder):
    import transformers

    def make(path=folder, **settings):
        settings = LOADS[request.param] | settings
        if "load_in_4bit" in settings:
            settings = {"bnb_4bit_compute_dtype": torch.bfloat16} | settings
        # A folder of quantised weights says so itself.
        how = {"quantization_config": transformers.BitsAndBytesConfig(**settings)} if path == folder else {}
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            path, device_map="cpu", dtype=torch.bfloat16, **how
        )
        quantised.prepare(model)
        return model

    return make


IDS, LABELS = torch.tensor([[5, 7, 11, 13, 2], [3, 1, 4, 1, 0]]), torch.tensor([0, 1])


def logits(model):
    return outputs(model, IDS, IDS != 0).logits


def test_a_llama_is_the_same_at_the_start_learns_and_comes_back_from_disk(load, tmp_path):
    model = load()
    assert quantised.is_quantised(model.model.layers[1].mlp.up_proj)
    before = logits(model)
    basis = adapt(model, sparse_rate=0.05, train=["score"])._frod.basis
    assert torch.equal(logits(model), before)
    losses = train(model, IDS, attention_mask=IDS != 0, labels=LABELS, steps=8)
    assert losses[-1] < 0.5 * losses[0]
    trained = logits(model)
    assert not torch.equal(trained, before)

    with pytest.raises(ValueError, match=r"is quantised, and a merged weight would have .* grid; .*frod\.save_adapter"):
        model.save_pretrained(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    frod.save_adapter(model, tmp_path / "adapter.safetensors")
    basis.save(tmp_path / "basis")
    again = frod.load_adapter(load(), tmp_path / "adapter.safetensors", frod.Basis.load(tmp_path / "basis"))
    assert torch.equal(logits(again), trained)


def test_a_quantised_folder_has_the_hash_of_the_model_it_was_written_from(load, tmp_path):
    model = load()
    model.save_pretrained(tmp_path / "packed")
    again = load(tmp_path / "packed")
    assert frod.model_hash(again) == frod.model_hash(model)
    frod.attach(again, frod.extract_basis(model, progress=False))
    assert torch.equal(logits(again), logits(model))


def test_gradient_checkpointing_gives_the_same_gradients(load):
    model = shift(adapt(load(), sparse_rate=0.05, train=["score"]), 0.1).train()
    expected = gradients(model, IDS, labels=LABELS)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_equal(gradients(model, IDS, labels=LABELS), expected, rtol=0, atol=0)


def test_frod_is_imported_without_the_library():
    code = "import sys; sys.modules['bitsandbytes'] = None; import frod, torch.nn as nn; "
    code += "frod.extract_basis(nn.ModuleDict({'a': nn.Linear(4, 4)}), ['a'], progress=False)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
