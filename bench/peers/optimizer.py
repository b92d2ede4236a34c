"""One AdamW step of PyTorch (fused) and of DeepSpeed's CPUAdam, as ../optimizer.cpp times ours.

    optimizer.py ELEMENTS
Prints a line of JSON: the fastest of each in seconds; what is not there is left out. One tensor of
ELEMENTS floats, as DeepSpeed's flat partitions are.
"""

import json
import sys
import time

import torch


def fastest(seconds, f):
    """The rule of ../fastest.hpp: about this long, five times at least, once before."""
    f()
    best, turn, start = float("inf"), 0, time.perf_counter()
    while turn < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        f()
        best, turn = min(best, time.perf_counter() - before), turn + 1
    return best


def parameter(n):
    w = torch.nn.Parameter(torch.full((n,), 0.5))
    w.grad = torch.full((n,), 1e-3)
    return w


def main():
    n = int(sys.argv[1])
    options = {"lr": 3e-4, "weight_decay": 0.1}
    found = {"torch fused AdamW": fastest(
        2, torch.optim.AdamW([parameter(n)], fused=True, **options).step)}
    try:
        from deepspeed.ops.adam import DeepSpeedCPUAdam
        found["DeepSpeed CPUAdam"] = fastest(
            2, DeepSpeedCPUAdam([parameter(n)], adamw_mode=True, **options).step)
    except Exception as problem:  # not installed, or its operator does not build here
        print(f"DeepSpeed CPUAdam: {problem}", file=sys.stderr)
    print(json.dumps({"times": found}), flush=True)


main()
