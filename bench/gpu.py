#!/usr/bin/env python3
"""PyTorch's row of gpu.sh: the step that bench/gpu.cpp describes, eager or compiled.

    gpu.py LINE [--compile] [--device D] [--steps N] [--warmup W] [--seconds S]
    gpu.py --check               the versions, if torch is here and sees a GPU; else a sentence

LINE is the JSON line of bench/gpu.cpp, so both train the same shape. Weights, gradients and
AdamW's states are bf16, which is PyTorch's least memory and highest speed without more libraries;
it rounds to the nearest, so it is no peer in what it learns.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers"))


def check():
    try:
        import torch
    except ImportError:
        sys.exit(f"{sys.executable} has no torch")
    if not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no GPU")
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}")


def model_of(line):
    import gpt2
    import llama
    from sizes import Gpt2Size, LlamaSize

    s = line["shape"]
    common = {"vocabulary": s["vocabulary"], "sequences": line["sequences"],
              "length": line["tokens"]}
    if s["kind"] == "gpt2":
        return gpt2.Gpt2(Gpt2Size(s["layers"], s["width"], s["heads"], **common))
    return llama.Llama(LlamaSize(s["layers"], s["width"], s["heads"], s["kv_heads"], s["hidden"],
                                 documents=(), **common))


def measure(line, options):
    import torch
    from contestant import groups

    torch.manual_seed(1)
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"

    def free():
        return torch.cuda.mem_get_info()[0] if on_gpu else 0

    torch.zeros(1, device=device)  # the library's own memory is no part of the step's
    before = free()
    with device:
        kind = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        model = model_of(line)
        torch.set_default_dtype(kind)
        shape = line["sequences"], line["tokens"] + 1
        tokens = torch.randint(line["shape"]["vocabulary"], shape)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    optimizer = torch.optim.AdamW(groups(model), lr=3e-4, fused=True)
    loss_of = torch.compile(model, fullgraph=True) if options.compile else model

    def step():
        loss = loss_of(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())  # waits for the GPU

    for _ in range(options.warmup):
        step()
    measured = before - free()
    seconds, begin = [], time.perf_counter()
    while len(seconds) < options.steps and (
            not seconds or time.perf_counter() - begin < options.seconds):
        start = time.perf_counter()
        loss = step()
        seconds.append(time.perf_counter() - start)
    result = {"peer": "torch compile" if options.compile else "torch eager",
              "torch": torch.__version__, "size": line["size"], "tokens": line["tokens"],
              "tokens_per_second": round(inputs.numel() / statistics.median(seconds), 1),
              "measured_bytes": measured, "loss": loss, "seconds": seconds}
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("line", nargs="?", type=json.loads)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    if options.check:
        check()
    elif options.line is None:
        parser.error("LINE is what bench/gpu.cpp prints")
    else:
        measure(options.line, options)


if __name__ == "__main__":
    main()
