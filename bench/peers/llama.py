"""Llama in PyTorch: rotary positions, grouped key and value heads, rows of several documents."""

import torch
import torch.nn.functional as F
from sizes import SEPARATOR
from torch import nn


def visible(tokens):
    """[B, 1, T, T], added to scores: 0 where a query sees a key of its document, else -inf."""
    ends = tokens == SEPARATOR
    document = ends.cumsum(1) - ends.long()  # a separator is the last token of its document
    same = document[:, :, None] == document[:, None, :]
    scores = torch.zeros(same.shape).masked_fill(~same.tril(), -torch.inf)
    return scores[:, None]


def rotated(x, cosine, sine):
    """Pairs j and j + width / 2 of every head. x [B, heads, T, width]; cosine [T, width / 2]"""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), -1)


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        width, hidden = size.width, size.hidden
        self.head = width // size.heads
        self.parts = [width, size.kv_heads * self.head, size.kv_heads * self.head]
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, sum(self.parts), bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x, cosine, sine, mask):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, -1, self.head).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(self.parts, dim=2)
        )
        q, k = rotated(q, cosine, sine), rotated(k, cosine, sine)
        mixed = F.scaled_dot_product_attention(
            q, k, v, mask, is_causal=mask is None, enable_gqa=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.token = nn.Embedding(size.vocabulary, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.width, eps=1e-5)
        self.head = nn.Linear(size.width, size.vocabulary, bias=False)
        for weight in self.parameters():
            if weight.dim() >= 2:
                nn.init.normal_(weight, std=0.02)
        half = size.width // size.heads // 2
        speed = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(size.length)[:, None] * speed
        self.documents = bool(size.documents)
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    def forward(self, tokens, targets):
        x = self.token(tokens)
        # Once, not in every block: autocast makes queries and keys this type.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        shared = [t.to(dtype) for t in (self.cosine, self.sine)]
        shared.append(visible(tokens).to(dtype) if self.documents else None)
        for block in self.blocks:
            x = block(x, *shared)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())
