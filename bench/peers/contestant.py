"""The arguments, the batch and the clock of every PyTorch peer.

The contract of a contestant, which ../compare.py starts and reads:
    --data FILE      uint16 tokens, sequences x length + 1 of them; sample s reads the tokens from
                     s * length, its targets lie one further; data rank r of R takes the r-th part
    --size NAME      one of SIZES
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

import numpy as np
import torch
from gpt2 import Gpt2
from llama import Llama
from sizes import SIZES, Gpt2Size


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
        return (Gpt2 if isinstance(self.size, Gpt2Size) else Llama)(self.size)

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
