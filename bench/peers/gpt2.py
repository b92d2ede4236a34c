"""GPT-2 in PyTorch and the clock that every PyTorch peer is measured with.

The contract of a contestant, which ../compare.py starts and reads:
    --data FILE      uint16 tokens, sequences x length + 1 of them; sample s reads the tokens from
                     s * length, its targets lie one further; data rank r of R takes the r-th part
    --size NAME      gpt2 or tiny, see SIZES
    --precision P    fp32, or bf16: the peer's own mixed precision, with fp32 master weights
    --warmup W       steps that nobody times (compilation, first touch)
    --steps N        timed steps, all on the same batch
    --memory-steps M
It prints one JSON line on rank 0 after the timed steps,
    {"ranks": R, "threads": per rank, "seconds": [of each timed step], "loss": of the last one}
then trains --memory-steps more, in which compare.py samples the memory, and exits.
The step: forward, mean cross-entropy of the global batch, backward, clipping at norm 1, AdamW with
learning rate 3e-4, betas 0.9 and 0.999, epsilon 1e-8, weight decay 0.1 on matrices and embeddings.
"""

import argparse
import contextlib
import json
import os
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Size:
    layers: int
    width: int
    heads: int
    vocabulary: int
    sequences: int  # of the global batch
    length: int


SIZES = {
    "gpt2": Size(12, 768, 12, 50304, 4, 256),
    "tiny": Size(2, 128, 4, 512, 4, 32),
}


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        width = size.width
        self.heads = size.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(width, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.token = nn.Embedding(size.vocabulary, size.width)
        self.position = nn.Embedding(size.length, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.head = nn.Linear(size.width, size.vocabulary, bias=False)
        self.head.weight = self.token.weight
        for name, weight in self.named_parameters():
            if weight.dim() >= 2:
                small = 0.01 if name.startswith("position") else 0.02  # as in OpenAI's code
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=small / (2 * size.layers) ** 0.5 if residual else small)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, tokens, targets):
        x = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def adamw(model):
    """PyTorch's fused AdamW, one kernel per tensor."""
    return torch.optim.AdamW(groups(model), lr=3e-4, fused=True)


def groups(model):
    weights = list(model.parameters())
    return [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]


class Contestant:
    """The arguments, this rank's part of the batch, and the clock."""

    def __init__(self, **more):
        parser = argparse.ArgumentParser()
        parser.add_argument("--data", required=True)
        parser.add_argument("--size", default="gpt2", choices=SIZES)
        parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
        parser.add_argument("--warmup", type=int, default=2)
        parser.add_argument("--steps", type=int, default=4)
        parser.add_argument("--memory-steps", type=int, default=1)
        for name, options in more.items():
            parser.add_argument(f"--{name}", **options)
        self.options = parser.parse_args()
        self.size = SIZES[self.options.size]
        self.rank = int(os.environ.get("RANK", 0))
        self.ranks = int(os.environ.get("WORLD_SIZE", 1))
        torch.manual_seed(1)

        count, length = self.size.sequences, self.size.length
        stream = np.fromfile(self.options.data, np.uint16).astype(np.int64)
        stream = torch.from_numpy(stream[: count * length + 1])
        mine = slice(self.rank * count // self.ranks, (self.rank + 1) * count // self.ranks)
        self.tokens = stream[:-1].view(count, length)[mine].contiguous()
        self.targets = stream[1:].view(count, length)[mine].contiguous()

    def model(self):
        return Gpt2(self.size)

    @property
    def bf16(self):
        return self.options.precision == "bf16"

    def autocast(self):
        """Around forward and loss: PyTorch's mixed precision, or nothing."""
        return torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    def measure(self, step):
        """`step` trains once on the batch and returns its loss (on this rank)."""
        for _ in range(self.options.warmup):
            step()
        seconds = []
        for _ in range(self.options.steps):
            begin = time.perf_counter()
            loss = step()
            loss = float(loss)
            seconds.append(time.perf_counter() - begin)
        if self.ranks > 1:
            mean = torch.tensor(loss, dtype=torch.float64)
            torch.distributed.all_reduce(mean)
            loss = mean.item() / self.ranks
        if self.rank == 0:
            result = {"ranks": self.ranks, "threads": torch.get_num_threads()}
            print(json.dumps(result | {"seconds": seconds, "loss": loss}), flush=True)
        for _ in range(self.options.memory_steps):
            step()
