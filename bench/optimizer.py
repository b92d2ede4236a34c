#!/usr/bin/env python3
"""Runs both sides of optimizer.sh in turns and prints the table."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import sys

from contestants import CORES, HERE, OURS, Contestant, extensions, interpreter
from machine import cpu_name, run, wait_for_quiet


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="bench/optimizer.cpp, built")
    parser.add_argument("--elements", type=int, default=124_439_808, help="GPT-2's parameters")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that a run may take")
    parser.add_argument("--max-foreign", type=float, default=0.1, metavar="SHARE",
                        help="wait up to a minute until others use less of the machine than this")
    options = parser.parse_args()
    if options.rounds < 1 or options.elements < 1:
        parser.error("--rounds and --elements begin at 1")
    return options


def contestants(options):
    yield Contestant(OURS, [options.program])
    python, missing = interpreter(os.environ.get("TESSERA_PEERS"))
    if not python:
        print(f"optimizer.py: {missing}; ours alone", file=sys.stderr)
        return
    programs = pathlib.Path(options.program).parent
    beside = f"{pathlib.Path(python).parent}:{os.environ.get('PATH', '')}"
    yield Contestant("peers", [python, "-u", str(HERE / "peers/optimizer.py")], environment={
        "TORCH_EXTENSIONS_DIR": str(extensions(programs)), "PATH": beside, "DS_ACCELERATOR": "cpu"})


def main():
    options = arguments()
    sides = list(contestants(options))
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    results = HERE / "results" / f"optimizer-{stamp}.jsonl"
    results.parent.mkdir(exist_ok=True)
    seconds, failed, busy = {}, False, 0
    with results.open("w") as file:
        def record(**values):
            print(json.dumps(values), file=file, flush=True)

        record(kind="machine", cpu=cpu_name(), cores=CORES, system=platform.platform(), time=stamp)
        for round_ in range(1 if options.quick else options.rounds):
            for side in sides if round_ % 2 == 0 else reversed(sides):
                quiet = wait_for_quiet(options.max_foreign)
                result = run(side, [str(options.elements)], options.timeout)
                record(kind="run", name=side.name, round=round_ + 1, quiet=quiet, **result)
                if "failed" in result:
                    failed = True
                    print(f"{side.name}: {result['failed']}", file=sys.stderr)
                    continue
                busy = max(busy, result["foreign"] + result["stolen"])
                for name, value in result["times"].items():
                    seconds.setdefault(name, []).append(value)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    if "AdamW" not in middle:
        sys.exit(1)
    print(f"{cpu_name()}, {CORES} cores; {options.elements} elements, 28 bytes each a step;"
          f" others took {busy:.1%} at most\n\n{'':20s} {'ms':>8s} {'GB/s':>7s} {'ours is':>8s}")
    for name, value in middle.items():
        ratio = "" if name.startswith("AdamW") else f"{value / middle['AdamW']:.2f}x"
        print(f"{name:20s} {1e3 * value:8.1f} {28e-9 * options.elements / value:7.1f} {ratio:>8s}")
    print(f"\nstream: a pass that reads and writes as much. Every run: {results}")
    return failed


sys.exit(main())
