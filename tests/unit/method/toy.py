"""A small model with every kind of target layer, and what tests do with adapted models.

Not in conftest.py: several folders have one, and pickle looks a class up by its module's name.
"""

from collections import Counter
from contextlib import nullcontext

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import frod
from frod.method.linear import FrodLinear

PLANS = ["materialised", "factored", "input_side"]
TARGETS = ["attention", "up", "down", "conv"]


class Block(nn.Module):
    """Square, tall, wide and Conv1D layers; without residuals, so that every layer matters."""

    def __init__(self, n):
        super().__init__()
        self.attention = nn.Linear(n, n, bias=False)
        self.up = nn.Linear(n, 3 * n)
        self.down = nn.Linear(3 * n, n)
        self.conv = Conv1D(n, n)

    def forward(self, x):
        return self.conv(torch.tanh(self.down(torch.tanh(self.up(self.attention(x))))))


class Toy(nn.Module):
    """Blocks and a head."""

    def __init__(self, n=8, layers=3):
        super().__init__()
        self.blocks = nn.ModuleList(Block(n) for _ in range(layers))
        self.norm = nn.LayerNorm(n)
        self.head = nn.Linear(n, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def adapt(model, targets=None, **settings):
    """Put an adapter on a fresh basis on the model; by default it trains a tenth of S and no head."""
    settings = {"sparse_rate": 0.1, "train": []} | settings
    return frod.attach(model, frod.extract_basis(model, targets, progress=False), **settings)


def disturb(model, by=0.1, seed=1):
    """Move all that trains, the same in every dtype."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_((by * noise).to(parameter.dtype))
    return model


def outputs(model, *inputs):
    """In evaluation."""
    with torch.no_grad():
        return model.eval()(*inputs)


def loss_of(model, *inputs, **named):
    """The sum of squares, or what a model of transformers takes for its loss."""
    y = model(*inputs, **named)
    return y.square().sum() if isinstance(y, torch.Tensor) else y.loss


def gradients(model, *inputs, **named):
    """Those of what trains, by names of the plain model, after a backward pass of inputs; they are taken off it."""
    if inputs or named:
        loss_of(model, *inputs, **named).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    return {name.removeprefix("module.").removeprefix("_orig_mod."): gradient for name, gradient in found.items()}


def accumulated(model, *batches, parts=1):
    """Gradients of a step in micro-batches, each given as its inputs by name; of the loss divided by `parts`."""
    for i, batch in enumerate(batches):
        with frod.accumulating(model, len(batches)) if i < len(batches) - 1 else nullcontext():
            (loss_of(model, **batch) / parts).backward()
    return gradients(model)


def train(model, *inputs, steps=3, lr=0.01, loss=loss_of, **named):
    """Steps of AdamW; the loss before each."""
    optimiser, losses = torch.optim.AdamW(frod.parameter_groups(model, lr_scale=lr, lr_rotation=lr, lr_head=lr)), []
    for _ in range(steps):
        optimiser.zero_grad()
        losses.append(loss(model.train(), *inputs, **named))
        losses[-1].backward()
        optimiser.step()
    return torch.stack(losses)


def assert_equal(ours, theirs, **tolerance):
    """Of tensors by name, or None; none of them may be zero."""
    assert ours.keys() == theirs.keys() and all(tensor is None or tensor.any() for tensor in theirs.values())
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, msg=lambda m, name=name: f"{name}: {m}", **tolerance)


def count_calls(patch):
    """How often weights are formed and gradients projected from now on; `patch` puts a counting method on the class."""
    counts = Counter()

    def count(name):
        method = getattr(FrodLinear, name)
        patch(FrodLinear, name, lambda self, *args: counts.update([name]) or method(self, *args))

    count("form_weight")
    count("project")
    return counts
