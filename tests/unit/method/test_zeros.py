"""Layers of zeros, through which no adapter can change anything, and bases that nothing shares: both are said.

A layer that starts at zero (adaLN-zero, new output layers) has W' = U (diag(lambda) + S) V^T = 0 whatever is trained.
"""

import copy
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from toy import train

import frod

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self, zero=True):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 8), nn.Linear(8, 8)
        if zero:
            nn.init.zeros_(self.out.weight)

    def forward(self, x):
        return x + self.out(torch.tanh(self.fc(x)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block(), Block(zero=False))


def test_they_are_named_and_left_out(model, tmp_path):
    plain = copy.deepcopy(model)
    with pytest.warns(UserWarning, match=r"2 of 6 target layers have weights of zeros.*left out: 0\.out, 1\.out\. To"):
        basis = frod.extract_basis(model, ["fc", "out"], progress=False)
    assert {name: list(category.layers) for name, category in basis.categories.items()} == {
        "*.fc": ["0.fc", "1.fc", "2.fc"],
        "*.out": ["2.out"],
    }
    predicted = frod.predict_parameters(model, ["fc", "out"], sparse_rate=0.1)
    frod.attach(model, basis, sparse_rate=0.1)
    assert frod.count_parameters(model) == predicted
    assert predicted["adapter"] == 4 * (8 + 6)  # n + int(0.1 n^2) for each of four layers
    assert torch.equal(model(X), plain(X))
    frod.save_adapter(model, tmp_path / "a")
    assert torch.equal(frod.load_adapter(plain, tmp_path / "a", basis)(X), model(X))


def test_they_can_train_in_full(model):
    with pytest.warns(UserWarning, match=r"name them in train=\[...\]"):
        basis = frod.extract_basis(model, ["fc", "out"], progress=False)
    train(frod.attach(model, basis, train=["0.out", "1.out"]), X, steps=1)
    assert model[0].out.weight.any()


def test_from_files_and_in_parts_they_are_left_out_alike(model, tmp_path):
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    with pytest.warns(UserWarning, match="weights of zeros"):
        whole = frod.extract_basis(model, ["fc", "out"], progress=False)
        empty = copy.deepcopy(model).to("meta")
        stored = frod.extract_basis(empty, ["fc", "out"], progress=False, checkpoint=tmp_path)
        parts = [frod.extract_basis(model, ["fc", "out"], progress=False, part=(i, 2)) for i in (0, 1)]
    assert whole.digest() == stored.digest() == frod.Basis.join(parts).digest()


def test_a_model_whose_layers_are_no_longer_zero_is_another(model):
    with pytest.warns(UserWarning, match="weights of zeros"):
        basis = frod.extract_basis(model, ["fc", "out"], progress=False)
    nn.init.ones_(model[1].out.weight)
    with pytest.raises(ValueError, match=r"only in the model \['1.out'\]"):
        frod.attach(model, basis)


def test_nothing_but_zeros_is_refused(model):
    with pytest.raises(ValueError, match=r"all target layers, '0\.out' for one, have weights of zeros"):
        frod.extract_basis(model[:2], ["out"], progress=False)


def test_a_basis_that_nothing_shares_is_said():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    with pytest.warns(UserWarning, match=r"none of the 2 categories \('a' for one\) has more than one layer"):
        frod.extract_basis(model, ["a", "b"], progress=False)
    model = nn.ModuleDict({f"h_{i}": nn.ModuleDict({"fc": nn.Linear(4, 4)}) for i in range(2)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        basis = frod.extract_basis(model, ["fc"], progress=False)
        frod.attach(model, basis, layers=[1])
    assert list(model._frod.adapters["default"].adapted) == ["h_1.fc"]
    assert frod.summary(model) == (
        "FRoD on h_*.fc (1); sparse rate 0.01, seed 0; in full: nothing; 4 trainable parameters, 4 of them outside "
        "the head, which is 10 % of the frozen model's"
    )
