#!/usr/bin/env python3
"""Runs both sides of attention.sh in turns and prints the table: ours beside PyTorch's."""

import argparse
import datetime
import json
import os
import platform
import statistics
import sys

from contestants import CORES, HERE, OURS, Contestant, interpreter
from machine import cpu_name, run, wait_for_quiet

SHAPES = [(1, 1024, 12, 64), (1, 4096, 4, 64), (1, 16384, 4, 64)]  # batch, tokens, heads, width
TYPES = {"float": 1e-4, "bf16": 2e-2}  # how far results of the two sides may be apart


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="bench/attention.cpp, built")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--most-tokens", type=int, default=1 << 30, help="leave longer rows out")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that a run may take")
    parser.add_argument("--max-foreign", type=float, default=0.1, metavar="SHARE",
                        help="wait up to a minute until others use less of the machine than this")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds begins at 1")
    return options


def row(shape, kind, ours, theirs):
    """Medians over the rounds of each side's fastest."""
    batch, tokens, heads, width = shape
    text = f"{batch} x {tokens:<6d} {heads:2d} x {width:<4d} {kind:5s}"
    both = [0.0, 0.0]
    for what in ("forward", "backward"):
        mine, other = (statistics.median(r[what] for r in runs) for runs in (ours, theirs))
        both[0], both[1] = both[0] + mine, both[1] + other
        text += f" {1e3 * mine:10.2f} {1e3 * other:10.2f} {other / mine:6.2f}x"
    text += f" {both[1] / both[0]:6.2f}x"
    text += f" {max(r['foreign'] + r['stolen'] for r in ours + theirs):6.1%}"
    for what in ("y", "dqkv"):
        if abs(ours[0][what] / theirs[0][what] - 1) > TYPES[kind]:
            text += f"  <- {what} is not the other's"
    return text


def main():
    options = arguments()
    python, missing = interpreter(os.environ.get("TESSERA_PEERS"))
    if not python:
        sys.exit(f"attention.py: {missing}")
    sides = [
        Contestant(OURS, [options.program]),
        Contestant("torch", [python, "-u", str(HERE / "peers/attention.py")]),
    ]
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    results = HERE / "results" / f"attention-{stamp}.jsonl"
    results.parent.mkdir(exist_ok=True)
    file = results.open("w")

    def record(**values):
        print(json.dumps(values), file=file, flush=True)

    record(kind="machine", cpu=cpu_name(), cores=CORES, system=platform.platform(), time=stamp)
    print(f"{cpu_name()}, {CORES} cores; medians of {1 if options.quick else options.rounds}\n\n"
          f"{'':24s} {'forward, ms':^29s} {'backward, ms':^29s}\n"
          f"{'batch x tokens, heads':24s} {'ours':>10s} {'torch':>10s} {'':7s}"
          f" {'ours':>10s} {'torch':>10s} {'':7s} {'both':>7s} {'busy':>6s}")
    failed = False
    for shape in (s for s in SHAPES if s[1] <= options.most_tokens):
        for kind in TYPES:
            runs = {side.name: [] for side in sides}
            for round_ in range(1 if options.quick else options.rounds):
                for side in sides if round_ % 2 == 0 else reversed(sides):
                    quiet = wait_for_quiet(options.max_foreign)
                    result = run(side, [*map(str, shape), kind], options.timeout)
                    record(kind="run", name=side.name, shape=shape, type=kind, round=round_ + 1,
                           quiet=quiet, **result)
                    if "failed" in result:
                        print(f"{side.name} {shape} {kind}: {result['failed']}", file=sys.stderr)
                    else:
                        runs[side.name].append(result)
            ours, theirs = runs.values()
            failed |= not (ours and theirs)
            if ours and theirs:
                print(row(shape, kind, ours, theirs), flush=True)
    print(f"\nx: how many times faster ours is. Every run: {results}")
    return failed


sys.exit(main())
