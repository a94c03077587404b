"""FRoD as a drop-in for peft's own: the same interface, files and training; exact at the start, on any threads."""

import copy

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import frod.peft

peft = pytest.importorskip("peft")

WIDTH = 16


class Net(nn.Module):
    def __init__(self, kind=nn.Linear, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(nn.ModuleDict({"proj": kind(WIDTH, WIDTH)}) for _ in range(3))
        self.out = nn.Linear(WIDTH, 3)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer["proj"](x))
        return self.out(x)


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("FROD_CACHE", str(tmp_path / "cache"))
    yield
    frod.peft.disable()


@pytest.fixture
def x():
    return torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(1))


def config(**more):
    return peft.FrodConfig(**{"target_modules": ["proj"], "sparse_rate": 0.1, "progressbar": False} | more)


def ours(model, **more):
    frod.peft.enable()
    adapted = peft.get_peft_model(copy.deepcopy(model), config(**more))
    frod.peft.disable()
    return adapted


def plain(model, **more):
    return peft.get_peft_model(copy.deepcopy(model), config(**more))


def trained(model, x, steps=4):
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(x).square().sum().backward()
        optimiser.step()
    return model.eval()


def close(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_start_is_the_model_to_the_bit(x, dtype, dropout):
    base, x = Net().to(dtype), x.to(dtype)
    adapted = ours(base, frod_dropout=dropout)
    assert torch.equal(adapted.train()(x), base(x))
    assert torch.equal(adapted.eval()(x), base(x))
    assert torch.equal(adapted.merge_and_unload()(x), base(x))


@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
def test_it_trains_as_peft_s_own_and_writes_what_that_would(kind, x):
    base = Net(kind)
    start = {"fan_in_fan_out": kind is Conv1D}
    own, other = trained(ours(base, **start), x), trained(plain(base, **start), x)
    assert close(own(x), other(x))
    assert not close(own(x), base(x))
    for states in ([own.state_dict(), other.state_dict()], [*map(peft.get_peft_model_state_dict, (own, other))]):
        mine, theirs = ({k: (v.shape, v.dtype) for k, v in state.items()} for state in states)
        assert mine == theirs
    places = "base_model.frod_s_indices.proj.default"
    assert torch.equal(own.state_dict()[places], other.state_dict()[places])


def test_files_go_both_ways(x, tmp_path):
    base = Net()
    own, other = trained(ours(base), x), trained(plain(base), x)
    own.save_pretrained(tmp_path / "own")
    other.save_pretrained(tmp_path / "other")
    # peft's own forms U from a V of its own, whose columns may have other signs: that it reads the file is held.
    peft.PeftModel.from_pretrained(Net(), tmp_path / "own")
    frod.peft.enable()
    for lean in (False, True):
        how = {"low_cpu_mem_usage": lean}
        read = {name: peft.PeftModel.from_pretrained(Net(), tmp_path / name, **how) for name in ("own", "other")}
        assert torch.equal(read["own"](x), own(x))
        assert close(read["other"](x), other(x))


def test_a_checkpoint_loads_to_the_same_with_any_number_of_threads(x, tmp_path, monkeypatch):
    trained(plain(Net()), x).save_pretrained(tmp_path / "saved")
    frod.peft.enable()
    before, starts = torch.get_num_threads(), []
    for threads in (1, 2):
        monkeypatch.setenv("FROD_CACHE", str(tmp_path / f"cache-{threads}"))
        torch.set_num_threads(threads)
        loaded = peft.PeftModel.from_pretrained(Net(), tmp_path / "saved")
        torch.set_num_threads(before)
        starts.append([layer["proj"].engine("default").lambda_0 for layer in loaded.base_model.model.layers])
        starts[-1].append(loaded(x))
    assert all(torch.equal(one, two) for one, two in zip(*starts, strict=True))


def test_without_its_projection_it_is_made_again_from_the_same_weights(x, tmp_path):
    own = trained(ours(Net(), save_projection=False), x)
    own.save_pretrained(tmp_path / "saved")
    frod.peft.enable()
    assert torch.equal(peft.PeftModel.from_pretrained(Net(), tmp_path / "saved")(x), own(x))


def test_a_basis_is_decomposed_once(monkeypatch):
    first = ours(Net())
    monkeypatch.setattr("frod.peft.tuner.extract_categories", None)
    second = ours(Net())
    states = first.state_dict(), second.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_model_of_peft_s_own_is_taken_over_in_place(x):
    model = trained(plain(Net()), x)
    before, parameters = model(x), dict(model.named_parameters())
    assert frod.peft.accelerate(model) is model
    assert close(model(x), before)
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    after = trained(model, x)(x)
    assert not close(after, before)
    frod.peft.accelerate(model)  # twice does nothing more
    assert torch.equal(model(x), after)


def test_merging_and_taking_back(x):
    own = trained(ours(Net()), x)
    adapted = own(x)
    own.merge_adapter(safe_merge=True)
    assert close(own(x), adapted)
    own.unmerge_adapter()
    assert torch.equal(own(x), adapted)
    with own.disable_adapter():
        assert torch.equal(own(x), Net()(x))
    assert close(own.merge_and_unload()(x), adapted)


def test_several_adapters_and_dropout_as_in_peft(x):
    """Of one basis: peft's own, taken over; what dropout lets through is drawn alike."""
    model = plain(Net(), init_weights=False, frod_dropout=0.5)
    model.add_adapter("second", config(init_weights=False, frod_dropout=0.5))
    model.base_model.set_adapter(["default", "second"])
    outputs = []
    for each in (model, frod.peft.accelerate(copy.deepcopy(model))):
        torch.manual_seed(4)
        outputs.append([each.train()(x), each.eval()(x)])
        each.merge_adapter()
        outputs[-1].append(each(x))
    assert all(close(theirs, mine) for theirs, mine in zip(*outputs, strict=True))
    assert not close(outputs[0][0], outputs[0][1])


def test_another_adapter_s_basis_leaves_the_first_alone(x, tmp_path):
    base = Net()
    plain(base, regularization_alpha=0.5).save_pretrained(tmp_path / "second")
    own = trained(ours(base), x)
    before, V = own(x), own.base_model.frod_V["proj"]["default"].clone()
    own.load_adapter(tmp_path / "second", "second")
    assert torch.equal(own.base_model.frod_V["proj"]["default"], V)
    assert not torch.equal(own.base_model.frod_V["proj"]["second"], V)
    assert torch.equal(own(x), before)
    own.set_adapter("second")
    assert close(own(x), base(x))


def test_biases_train_where_they_are_asked_to(x):
    own, other = ours(Net(), bias="all"), plain(Net(), bias="all")
    for model in (own, other):
        model(x).square().sum().backward()
    for (name, mine), theirs in zip(own.named_parameters(), other.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
        if name.endswith("bias"):
            assert close(mine.grad, theirs.grad), name


def test_copies_and_moves_compute_the_same(x, tmp_path):
    own = trained(ours(Net()), x)
    expected = own(x)
    assert torch.equal(copy.deepcopy(own)(x), expected)
    torch.save(own, tmp_path / "model.pt")
    assert torch.equal(torch.load(tmp_path / "model.pt", weights_only=False)(x), expected)
    assert close(own.double()(x.double()).float(), expected)


def test_a_model_may_be_cast_after_its_adapter_was_made(x):
    adapted, base = ours(Net()).bfloat16(), Net().bfloat16()
    assert torch.equal(adapted(x.bfloat16()), base(x.bfloat16()))


def test_what_does_not_fit_is_refused_in_one_line(x, tmp_path, monkeypatch):
    trained(ours(Net()), x).save_pretrained(tmp_path / "saved")
    frod.peft.enable()
    with pytest.warns(UserWarning, match=r"^V of category 'proj' .* not of this model's weights \(off by .*$"):
        peft.PeftModel.from_pretrained(Net(seed=5), tmp_path / "saved")
    wide = Net()
    for layer in wide.layers:
        layer["proj"] = nn.Linear(8, WIDTH)
    with pytest.raises(ValueError, match=r"V of category 'proj' is \(16, 16\) in the checkpoint and \(8, 8\)"):
        peft.PeftModel.from_pretrained(wide, tmp_path / "saved")
    trained(ours(Net(), save_projection=False), x).save_pretrained(tmp_path / "without")
    frod.peft.enable()
    with pytest.raises(
        ValueError, match=r"^\S+0\.proj\.frod_lambda_l\.default is \(16,\) in the checkpoint and \(8,\)"
    ):
        peft.PeftModel.from_pretrained(wide, tmp_path / "without")
    adapted = ours(Net(), sparse_rate=0.3)
    frod.peft.enable()
    for add in (adapted.load_adapter, lambda _, name: adapted.add_adapter(name, config())):
        with pytest.raises(ValueError, match=r"^sparse_rate=0\.1, but 0\.3 of the adapter 'default': .*$"):
            add(tmp_path / "saved", "second")
    with pytest.raises(TypeError, match="'layers' is a ModuleList, which is not supported"):
        peft.get_peft_model(Net(), config(target_modules=["layers"]))
    with pytest.raises(ValueError, match="this Net holds a Net, not a FRoD adapter"):
        frod.peft.accelerate(Net())
    with monkeypatch.context() as older:
        older.delattr(peft, "FrodModel")
        with pytest.raises(ImportError, match=rf"needs peft 0.20 or later, .*; here is {peft.__version__}"):
            frod.peft.enable()


def test_the_places_are_drawn_as_peft_draws_them():
    """Also of other widths, rates and seeds: at least one, and none at a rate of 0."""
    for width, rate, seed in [(2, 0.01, 0), (3, 0.9, 7), (16, 0.0, 1), (16, 1.0, 2)]:
        model = nn.Sequential(nn.ModuleDict({"proj": nn.Linear(width, width)}))
        states = [
            make(model, sparse_rate=rate, projection_prng_key=seed).state_dict()[
                "base_model.frod_s_indices.proj.default"
            ]
            for make in (ours, plain)
        ]
        assert torch.equal(*states), (width, rate)
