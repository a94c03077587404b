"""A fused qkv layer: three categories, with the bases, counts and adapters that three layers would have."""

import pytest
import torch
from torch import nn

import frod

N = 8


class Fused(nn.Module):
    """Blocks that hold q, k and v in one layer, or in one each."""

    def __init__(self, layers):
        super().__init__()
        torch.manual_seed(0)
        widths = dict.fromkeys(layers, 3 * N // len(layers))
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(N, width) for name, width in widths.items()}) for _ in range(3)
        )

    def forward(self, x):
        return torch.stack([block["qkv"](x) for block in self.blocks])


def test_bases_and_counts_are_those_of_three_layers():
    fused, apart = Fused(["qkv"]), Fused("qkv")
    for block, other in zip(apart.blocks, fused.blocks, strict=True):
        for key in ("weight", "bias"):
            for role, third in zip("qkv", getattr(other["qkv"], key).chunk(3), strict=True):
                getattr(block[role], key).data.copy_(third)
    bases = [frod.extract_basis(model, ["q", "k", "v"], progress=False) for model in (fused, apart)]
    for role in "qkv":
        one, other = bases[0].categories[f"blocks.*.qkv.{role}"], bases[1].categories[f"blocks.*.{role}"]
        assert torch.equal(one.V, other.V)
        assert all(torch.equal(a, b) for a, b in zip(one.lambda_0.values(), other.lambda_0.values(), strict=True))
    counts = [frod.predict_parameters(model, ["q", "k", "v"], sparse_rate=0.1) for model in (fused, apart)]
    assert counts[0] == counts[1]
    frod.attach(fused, bases[0], sparse_rate=0.1)
    assert frod.count_parameters(fused) == counts[0]
    assert counts[0]["adapter"] == 9 * (N + int(0.1 * N * N))


def test_a_replica_of_data_parallel_is_refused():
    """What it would compute with lies on another device; a replica is made here as it makes one of each module."""
    fused = Fused(["qkv"])
    frod.attach(fused, frod.extract_basis(fused, ["q", "v"], progress=False), sparse_rate=0.1)
    with pytest.raises(ValueError, match=r"nn\.DataParallel .* use DistributedDataParallel"):
        fused.blocks[0]["qkv"]._replicate_for_data_parallel()(torch.randn(5, N))


def test_each_role_changes_its_own_third_and_a_role_that_is_not_adapted_stays():
    fused = Fused(["qkv"])
    x = torch.randn(5, N)
    before = fused(x)
    frod.attach(fused, frod.extract_basis(fused, ["q", "v"], progress=False), sparse_rate=0.1)
    assert torch.allclose(fused(x), before, atol=1e-6)
    with torch.no_grad():
        fused.blocks[1]["qkv"].v.scale.mul_(1.5)
    changed = (fused(x) - before).abs().amax(dim=1) > 1e-3
    assert not changed[[0, 2]].any()
    assert not changed[1, : 2 * N].any()
    assert changed[1, 2 * N :].all()
    merged = frod.merge(fused)
    assert type(merged.blocks[1]["qkv"]) is nn.Linear
