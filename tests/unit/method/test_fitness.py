"""What an adapter cannot stand over is refused by name: computed weights, shared storage, weights not there."""

import types

import pytest
import torch
from accelerate import cpu_offload
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from toy import adapt, disturb, outputs

import frod

N = 8
COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "weight_norm, by a hook": weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "spectral_norm, by a hook": spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruning": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
}


class Blocks(nn.Module):
    """Two layers, one after the other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(nn.ModuleDict({"a": nn.Linear(N, N)}) for _ in range(2))

    def forward(self, x):
        for block in self.blocks:
            x = torch.tanh(block["a"](x))
        return x


def attach(model):
    return adapt(model, ["a"])


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_a_computed_weight_is_refused(kind):
    """Merging would write to what the next forward computes again."""
    model = Blocks()
    COMPUTED[kind](model.blocks[1]["a"])
    with pytest.raises(ValueError, match=r"the weight of 'blocks\.1\.a' is no parameter, .* leave the layer out"):
        frod.extract_basis(model, ["a"], progress=False)


def test_made_a_plain_one_it_is_adapted():
    model, x = Blocks(), torch.randn(3, N)
    for block in model.blocks:
        prune.remove(prune.l1_unstructured(block["a"], "weight", 0.3), "weight")
    disturb(attach(model))
    expected = outputs(model, x)
    assert torch.equal(outputs(frod.merge(model), x), expected)


def test_a_forward_of_its_own_is_refused():
    model = Blocks()
    layer = model.blocks[0]["a"]
    layer.forward = types.MethodType(lambda self, x: 2 * x, layer)
    with pytest.raises(ValueError, match=r"'blocks\.0\.a' has a forward that was put on this very layer"):
        attach(model)


def shared(model):
    model.blocks[1]["a"].weight = nn.Parameter(model.blocks[0]["a"].weight.data)


def transposed(model):
    model.decoder = nn.Linear(N, N)
    model.decoder.weight = nn.Parameter(model.blocks[0]["a"].weight.data.T)


def in_part(model):
    model.register_buffer("rows", model.blocks[0]["a"].weight.data[3:5])


def reinterpreted(model):
    model.register_buffer("bytes", model.blocks[0]["a"].weight.data.view(torch.uint8)[2:])


@pytest.mark.parametrize("share", [shared, transposed, in_part, reinterpreted])
def test_storage_that_another_tensor_uses_is_refused(share):
    """Merging would change that one, too."""
    model = Blocks()
    share(model)
    with pytest.raises(ValueError, match=r"'blocks\.0\.a' shares its weight with '.*': .*Leave it out of the targets"):
        frod.extract_basis(model, ["a"], progress=False)


def test_an_expanded_weight_is_refused():
    """It has one number in many places."""
    model = Blocks()
    model.blocks[0]["a"].weight = nn.Parameter(torch.randn(1, N).expand(N, N))
    with pytest.raises(ValueError, match=r"the weight of 'blocks\.0\.a' is one row or column, expanded"):
        attach(model)


@pytest.mark.parametrize(
    "pieces",
    [
        lambda W: [W[:N], W[N:]],
        lambda W: [W.view(N, 2 * N)[:, :N], W.view(N, 2 * N)[:, N:]],
        lambda W: [W.view(N, 2 * N)[:, ::2], W.view(N, 2 * N)[:, 1::2]],
    ],
)
def test_pieces_of_one_storage_that_do_not_overlap_are_adapted_each_for_itself(pieces):
    model, x = Blocks(), torch.randn(3, N)
    with torch.no_grad():
        for block, piece in zip(model.blocks, pieces(torch.randn(2 * N, N)), strict=True):
            block["a"].weight = nn.Parameter(piece)
        disturb(attach(model))
        expected = model.eval()(x)
        assert torch.equal(frod.merge(model)(x), expected)


@pytest.mark.parametrize("T", [1, 2, 5, 77])
@pytest.mark.parametrize("layout", [lambda W: W.T.contiguous().T, lambda W: W.repeat_interleave(2, dim=1)[:, ::2]])
def test_a_weight_in_another_layout_starts_and_merges_to_the_bit(layout, T):
    """The product rounds otherwise over another layout, so W' keeps that of W."""
    model, x = Blocks(), torch.randn(T, N)
    for block in model.blocks:
        block["a"].weight = nn.Parameter(layout(block["a"].weight.detach()))
        assert not block["a"].weight.is_contiguous()
    with torch.no_grad():
        expected = model.eval()(x)
        assert torch.equal(attach(model)(x), expected)
        assert torch.equal(model.train()(x), expected)
        adapted = disturb(model).eval()(x)
        assert torch.equal(frod.merge(model)(x), adapted)
        assert not model.blocks[0]["a"].weight.is_contiguous()


def test_merging_under_autocast_does_not_round_the_weights():
    plain, under = disturb(attach(Blocks())), disturb(attach(Blocks()))
    frod.merge(plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frod.merge(under)
    for ours, theirs in zip(under.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_that_are_not_there_are_refused_by_name():
    model = Blocks()
    basis = frod.extract_basis(model, ["a"], progress=False)
    cpu_offload(model, execution_device=torch.device("cpu"))
    with pytest.raises(ValueError, match=r"'blocks\.0\.a' is on the meta device: .*without offloading"):
        frod.attach(model, basis)
    with pytest.raises(ValueError, match=r"is on the meta device"):
        frod.model_hash(model, ["blocks.0.a", "blocks.1.a"])


def test_a_model_that_was_offloaded_after_attach_is_refused():
    model = attach(Blocks())
    cpu_offload(model, execution_device=torch.device("cpu"))
    for act in (lambda: model(torch.ones(2, N)), lambda: frod.merge(model)):
        with pytest.raises(ValueError, match=r"'blocks\.\*\.a' is on the meta device: .*offloaded after `attach`"):
            act()
