"""An adapter leaves the machine it was trained on: with its basis in one folder, or onto a basis that was extracted
elsewhere, whose columns come in another order, with other signs and roundings, and that anyone may read."""

import os
import stat
import warnings
from dataclasses import replace

import pytest
import scipy.linalg
import torch
from toy import TARGETS, disturb, outputs

import frod

X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def run(model):
    return outputs(model, X.to(model.head.weight.dtype))


def reordered(basis, change):
    """The same basis with what `change` makes of V (n, n) and of the lengths of U's columns."""
    categories = {}
    for name, category in basis.categories.items():
        order, signs = change(category.n)
        categories[name] = replace(
            category,
            V=(category.V[:, order] * signs).contiguous(),
            V_inv_t=(category.V_inv_t[:, order] * signs).contiguous(),
            lambda_0={layer: values[order] for layer, values in category.lambda_0.items()},
        )
    return replace(basis, categories=categories)


def shuffled(n):
    generator = torch.Generator().manual_seed(n)
    return torch.randperm(n, generator=generator), torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1


def flipped(n):
    return torch.arange(n), shuffled(n)[1]


@pytest.fixture
def saved(make_adapted, tmp_path):
    def make(dtype=torch.float64, **arguments):
        model, basis = make_adapted(dtype, by=0.1, **arguments)
        frod.save_adapter(model, tmp_path / "saved", with_basis=True)
        return model, basis, tmp_path / "saved"

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_folder_and_the_model_are_all_that_is_needed(make_model, saved, dtype):
    model, basis, folder = saved(dtype)
    names = ["adapter.safetensors", "basis.safetensors", "manifest.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for path in (folder, folder / "adapter.safetensors"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fresh = frod.load_adapter(make_model(dtype), path)
        assert torch.equal(run(fresh), run(model))
        assert fresh.blocks[0].up.pattern_places()[0].equal(model.blocks[0].up.pattern_places()[0])
    assert frod.Basis.load(folder).digest() == basis.digest()
    frod.save_adapter(fresh, folder.with_name("again"), with_basis=True)
    for name in names:
        assert (folder.with_name("again") / name).read_bytes() == (folder / name).read_bytes()


def test_without_a_basis_next_to_it_one_has_to_be_given(make_model, make_adapted, tmp_path):
    frod.save_adapter(make_adapted()[0], tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"no basis next to it: give the one .*Basis\.load.* with_basis=True"):
        frod.load_adapter(make_model(), tmp_path / "a.safetensors")


@pytest.mark.parametrize("change", [flipped, shuffled])
@pytest.mark.parametrize("plan", ["materialised", "input_side"])
def test_onto_a_basis_in_other_order_and_with_other_signs(make_model, saved, change, plan):
    model, basis, folder = saved(plan=plan)
    other = reordered(basis, change)
    with pytest.warns(UserWarning, match="converted to this basis") as said:
        fresh = frod.load_adapter(make_model(torch.float64), folder, other)
    assert len(said) == 1 and "\n" not in str(said[0].message)
    torch.testing.assert_close(run(fresh), run(model), rtol=1e-10, atol=1e-10)
    layer = fresh.blocks[0].up
    assert not torch.equal(layer.rotation, model.blocks[0].up.rotation)
    # It is an adapter of that basis from now on: saved, loaded, and loaded over itself without a word.
    frod.save_adapter(fresh, folder.with_name("moved"), with_basis=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = frod.load_adapter(make_model(torch.float64), folder.with_name("moved"))
        frod.load_adapter(fresh, folder.with_name("moved"), other)
    assert torch.equal(run(again), run(fresh))


def test_of_some_blocks_where_each_layer_is_a_category(make_model, tmp_path):
    """Loaded twice over itself, saved, and loaded again; places of a category that is adapted cannot be left out."""
    basis = frod.extract_basis(make_model(torch.float64), TARGETS, kind="layer_svd", progress=False)
    model = frod.attach(make_model(torch.float64), basis, sparse_rate=0.1, layers=[0], train=[])
    frod.save_adapter(disturb(model), tmp_path / "saved", with_basis=True)
    fresh, other = make_model(torch.float64), reordered(basis, shuffled)
    for _ in range(2):
        with pytest.warns(UserWarning, match="converted"):
            frod.load_adapter(fresh, tmp_path / "saved", other)
    torch.testing.assert_close(run(fresh), run(model), rtol=1e-10, atol=1e-10)
    frod.save_adapter(fresh, tmp_path / "moved", with_basis=True)
    assert torch.equal(run(frod.load_adapter(make_model(torch.float64), tmp_path / "moved")), run(fresh))
    few = {"blocks.0.up": fresh.blocks[0].up.pattern_places()}
    with pytest.raises(ValueError, match=r"'blocks\.0\.down', 'blocks\.0\.up'\] have layers to adapt: give those"):
        frod.attach(make_model(torch.float64), other, patterns=few, layers=[0], train=[])


def test_onto_a_model_with_adapters_on_such_a_basis(make_model, saved):
    model, basis, folder = saved()
    here = reordered(basis, shuffled)
    other = frod.attach(make_model(torch.float64), here, name="own")
    for _ in range(2):  # as a new one, and over itself
        with pytest.warns(UserWarning, match="converted"):
            frod.load_adapter(other, folder, name="guest")
        torch.testing.assert_close(run(other), run(model), rtol=1e-10, atol=1e-10)
    places = {}
    for name, category in here.categories.items():
        rows, columns = torch.triu_indices(category.n, category.n, 1)
        places[name] = rows[: int(0.1 * category.n**2)], columns[: int(0.1 * category.n**2)]
    frod.attach(other, here, sparse_rate=0.1, train=["head"], patterns=places, name="third")
    before = run(other)
    with pytest.warns(UserWarning, match="converted"), pytest.raises(ValueError, match="S at other places"):
        frod.load_adapter(other, folder, name="third")
    assert torch.equal(run(other), before)


def test_onto_a_basis_extracted_with_another_library(make_model, tmp_path, monkeypatch):
    """scipy's solver of the eigenvalue problem instead of torch's, and the columns in its order turned about.

    Without the wide layers (m < n), whose V is not unique.
    """

    def build():
        return make_model(torch.float64, n=24)

    targets = ["attention", "up", "conv"]
    basis = frod.extract_basis(build(), targets, progress=False)
    model = disturb(frod.attach(build(), basis, sparse_rate=0.1))
    frod.save_adapter(model, tmp_path / "saved", with_basis=True)

    def eigh(T):
        tau, E = scipy.linalg.eigh(T.numpy(), driver="ev")
        order = list(range(len(tau) - 1, -1, -1))
        return torch.from_numpy(tau[order].copy()), torch.from_numpy(-E[:, order].copy())

    with monkeypatch.context() as patched:
        patched.setattr(torch.linalg, "eigh", eigh)
        other = frod.extract_basis(build(), targets, progress=False)
    assert other.digest() != basis.digest()
    with pytest.warns(UserWarning, match="converted"):
        fresh = frod.load_adapter(build(), tmp_path / "saved", other)
    x = torch.randn(4, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    expected = outputs(model, x)
    assert (outputs(fresh, x) - expected).norm() < 1e-4 * (expected - outputs(build(), x)).norm()


def test_a_basis_of_other_weights_or_with_columns_turned_into_each_other_is_refused(make_model, saved):
    _, basis, folder = saved()
    turn = torch.eye(8)
    turn[:2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    category = basis.categories["blocks.*.up"]
    V = category.V @ turn
    lambda_0 = {}
    for name in category.lambda_0:
        W = make_model(torch.float64).get_submodule(name).weight.detach()
        lambda_0[name] = torch.linalg.solve(V.double(), W.T).norm(dim=1).float()
    turned = replace(category, V=V, V_inv_t=torch.linalg.inv(V.double()).T.float().contiguous(), lambda_0=lambda_0)
    other = replace(basis, categories=basis.categories | {"blocks.*.up": turned})
    plain = make_model(torch.float64)
    foreign = frod.extract_basis(make_model(torch.float64, seed=1), TARGETS, progress=False)
    with pytest.raises(ValueError, match=rf"with the basis {basis.digest()} .*this basis is {foreign.digest()}"):
        frod.load_adapter(plain, folder, foreign)
    with pytest.raises(ValueError, match=r"'blocks\.\*\.up'.*turned into each other \(by 0\.6\).*too close") as refused:
        frod.load_adapter(plain, folder, other)
    assert "\n" not in str(refused.value)
    assert not hasattr(plain, "_frod")
    # Where nothing was trained in that category, nothing is lost.
    frod.attach(fresh := make_model(torch.float64), basis, sparse_rate=0.1, train=["head"])
    frod.save_adapter(fresh, folder, with_basis=True)
    with pytest.warns(UserWarning, match=r"of what was trained 0 is lost"):
        frod.load_adapter(plain, folder, other)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_what_is_written_may_be_read_by_whom_the_umask_says(saved, tmp_path, mask):
    before = os.umask(mask)
    try:
        _, basis, folder = saved()
        basis.save(tmp_path / "basis")
        (tmp_path / "plain").touch()
    finally:
        os.umask(before)
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert expected == 0o666 & ~mask
    files = [*folder.iterdir(), *(tmp_path / "basis").iterdir()]
    assert len(files) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {expected}
