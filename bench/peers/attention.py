"""PyTorch's scaled_dot_product_attention, as ../attention.cpp times ours.

    attention.py BATCH TOKENS HEADS WIDTH float|bf16
Prints a line of JSON: the fastest forward and backward in seconds, the lengths of y and dqkv.
Queries, keys and values lie packed, as one projection leaves them.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F


def fastest(seconds, f):
    """The rule of ../fastest.hpp: about this long, five times at least, once before."""
    f()
    best, turn, start = float("inf"), 0, time.perf_counter()
    while turn < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        f()
        best, turn = min(best, time.perf_counter() - before), turn + 1
    return best


def main():
    batch, tokens, heads, width = map(int, sys.argv[1:5])
    dtype = torch.bfloat16 if sys.argv[5] == "bf16" else torch.float32
    index = torch.arange(batch * tokens * 3 * heads * width)
    packed = ((index * 7919 % 1001).float() / 1001 - 0.5).to(dtype)
    q, k, v = (
        part.transpose(1, 2).requires_grad_()  # [batch, heads, tokens, width]
        for part in packed.view(batch, tokens, 3, heads, width).unbind(2)
    )
    dy = torch.full((batch, tokens, heads, width), 0.1, dtype=dtype).transpose(1, 2)

    def forward():
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    y = forward()

    def backward():
        return torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)

    print(json.dumps({
        "forward": fastest(0.5, forward),
        "backward": fastest(0.5, backward),
        "y": y.double().norm().item(),
        "dqkv": torch.stack([g.double().norm() for g in backward()]).norm().item(),
    }), flush=True)


main()
