"""A small model with every kind of target layer.

Not in conftest.py: several folders have one, and pickle looks a class up by its module's name.
"""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


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
