"""What training changes that is no parameter (running statistics) belongs to the adapter: saved, loaded, switched.

Running means are held against their definition, mean <- 0.9 mean + 0.1 (mean of the batch).
"""

import copy

import pytest
import torch
import toy
from safetensors import safe_open
from torch import nn

import frod

X = 3 * torch.randn(64, 8, generator=torch.Generator().manual_seed(1)) + 1


class Counting(nn.Linear):
    """A target layer with state of its own, kept by a hook: its name is another one once it is adapted."""

    def __init__(self, n):
        super().__init__(n, n)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))


class Model(nn.Module):
    """Blocks with batch norm behind an adapted layer, a power iteration, and a buffer that nothing changes."""

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm1d(8)
        self.blocks = nn.ModuleList(nn.ModuleDict({"fc": Counting(8), "norm": nn.BatchNorm1d(8)}) for _ in range(2))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        self.head = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2))
        self.register_buffer("fixed", torch.tensor([float("nan"), 1.0]))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            if self.training:
                (layer,) = [module for module in block["fc"].modules() if isinstance(module, Counting)]
                layer.seen += len(x)
            x = torch.relu(block["norm"](block["fc"](x)))
        return self.head(self.spectral(x))


@pytest.fixture
def start():
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def basis(start):
    return frod.extract_basis(start, ["fc"], progress=False)


def attached(model, basis, **settings):
    return frod.attach(model, basis, sparse_rate=0.1, **({"train": ["head"]} | settings))


def train(model, steps=5):
    toy.train(model, X, steps=steps)
    return outputs(model)


def outputs(model):
    return toy.outputs(model, X)


def keys(path):
    with safe_open(path, "pt") as file:
        return {key for key in file.keys() if key.startswith("buffer.")}  # noqa: SIM118


@pytest.fixture
def model(start, basis):
    return attached(copy.deepcopy(start), basis)


def test_a_loaded_adapter_gives_the_outputs_of_the_saved_one(start, model, basis, tmp_path):
    trained = train(model)
    torch.testing.assert_close(model.first.running_mean, (1 - 0.9**5) * X.mean(0))
    frod.save_adapter(model, tmp_path / "a")
    loaded = frod.load_adapter(copy.deepcopy(start), tmp_path / "a", basis)
    assert torch.equal(outputs(loaded), trained)
    assert torch.equal(loaded.first.running_mean, model.first.running_mean)
    assert loaded.blocks[1]["fc"].base.seen == 5 * len(X)
    norms = ("first", "blocks.0.norm", "blocks.1.norm")
    expected = {f"{norm}.{key}" for norm in norms for key in ("running_mean", "running_var", "num_batches_tracked")}
    expected |= {"blocks.0.fc.seen", "blocks.1.fc.seen"}  # as the plain model calls them
    expected |= {f"spectral.parametrizations.weight.0.{key}" for key in ("_u", "_v")}
    assert keys(tmp_path / "a") == {f"buffer.{name}" for name in expected}  # the head's are saved with the head


def test_what_training_left_alone_is_not_in_the_file(model, tmp_path):
    model.eval()(X)
    frod.save_adapter(model, tmp_path / "a")
    assert keys(tmp_path / "a") == set()


def test_each_adapter_has_its_own_and_starts_at_the_base_s(start, basis, tmp_path):
    model = attached(copy.deepcopy(start), basis, name="a")
    first = train(model)
    attached(model, basis, name="b", train=[])
    assert torch.equal(outputs(model), outputs(start))
    for name, tensor in start.named_buffers():
        assert name.startswith("blocks") or torch.equal(model.get_buffer(name).nan_to_num(), tensor.nan_to_num()), name
    second = train(model, steps=3)  # b does not train the head, but changes its statistics
    assert model.head[0].num_batches_tracked == 3
    assert torch.equal(outputs(frod.set_adapter(model, "a")), first)
    assert model.head[0].num_batches_tracked == 5
    assert torch.equal(outputs(frod.set_adapter(model, "b")), second)
    frod.save_adapter(model, tmp_path / "b")
    assert "buffer.head.0.running_mean" in keys(tmp_path / "b")
    alone = attached(copy.deepcopy(start), basis, train=[])
    assert torch.equal(train(alone, steps=3), second)
    frod.load_adapter(frod.set_adapter(model, "a"), tmp_path / "b", basis, name="c")
    assert torch.equal(outputs(model), second)
    assert torch.equal(outputs(frod.merge(frod.set_adapter(model, "a"))), first)


def test_a_state_of_the_whole_model_has_those_of_the_adapters_that_are_not_in_use(start, basis):
    def two():
        return attached(attached(copy.deepcopy(start), basis, name="a"), basis, name="b", train=[])

    model = two()
    second = train(model, steps=3)
    first = train(frod.set_adapter(model, "a"))
    again = frod.set_adapter(two(), "a")
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(outputs(again), first)
    assert torch.equal(outputs(frod.set_adapter(again, "b")), second)


def test_loading_over_an_adapter_takes_the_file_s_and_else_the_base_s(start, model, basis, tmp_path):
    frod.save_adapter(model, tmp_path / "fresh")
    trained = train(model)
    frod.save_adapter(model, tmp_path / "trained")
    assert torch.equal(outputs(frod.load_adapter(model, tmp_path / "fresh", basis)), outputs(start))
    assert torch.equal(outputs(frod.load_adapter(model, tmp_path / "trained", basis)), trained)


def test_buffers_that_the_model_does_not_have_are_refused(start, model, basis, tmp_path):
    train(model)
    frod.save_adapter(model, tmp_path / "a")
    start.first = nn.LayerNorm(8)
    with pytest.raises(ValueError, match=r"values for 'first\.\w+', a buffer that the model does not have"):
        frod.load_adapter(start, tmp_path / "a", basis)
    assert not hasattr(start, "_frod")


def test_peft_has_no_place_for_them(model, tmp_path):
    train(model)
    with pytest.raises(ValueError, match=r"training changed 'first\.\w+', which is no parameter"):
        frod.to_peft(model, tmp_path)


@pytest.mark.parametrize("kind", ["frod", "full_ft", "linear_probe"])
def test_a_run_of_the_workflow_keeps_them(start, basis, tmp_path, kind):
    from frod.config import Method
    from frod.runs import restore
    from frod.training.methods import of_kind, trained

    method = Method(kind=kind, sparse_rate=0.1 if kind == "frod" else None)

    def started():
        model = copy.deepcopy(start)
        of_kind(kind).apply(model, method, targets=["fc"], head=["head"], basis=basis, seed=0)
        return model

    model = started()
    with torch.no_grad():
        model.train()(X)
    trained.save(model, tmp_path / "adapter.safetensors", kind)
    again = restore.load_trained(started(), tmp_path / "adapter.safetensors", kind, basis)
    assert torch.equal(outputs(again), outputs(model))
    assert not torch.equal(outputs(again), outputs(start))


def test_a_cast_of_the_model_is_no_change_and_files_keep_the_base_s_dtype(start, basis, tmp_path):
    model = attached(copy.deepcopy(start), basis, train=[]).double()
    frod.save_adapter(model, tmp_path / "cast")
    assert keys(tmp_path / "cast") == set()
    model.train()(X.double())
    frod.save_adapter(model, tmp_path / "seen")
    loaded = frod.load_adapter(copy.deepcopy(start), tmp_path / "seen", basis)
    assert torch.allclose(loaded.first.running_mean.double(), model.first.running_mean)
    assert loaded.first.num_batches_tracked == 1
