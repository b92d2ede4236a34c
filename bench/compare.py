#!/usr/bin/env python3
"""Runs the contestants of compare.sh in interleaved rounds and prints the table.

Every contestant is a process, or a group of ranks, that keeps the contract of
peers/contestant.py. This script starts it, records what else ran on the machine meanwhile, samples
the memory after the timed steps (so that sampling costs nobody time), and takes medians over all
steps of all rounds.
"""

import argparse
import array
import datetime
import itertools
import json
import math
import pathlib
import platform
import random
import signal
import statistics
import sys

from contestants import BOUND, CORES, HERE, OURS, Contestant, everybody, extensions
from machine import cpu_name, run, wait_for_quiet
from peers.sizes import SEPARATOR, SIZES


def flops_of(size):
    """(all matrix products of a step, those that are GEMMs); a multiply-add is 2.

    A number of a layer's weights, or of the head's, takes part in one product forward and two
    backward. Attention adds two products forward, four backward, over the T (T + 1) / 2 pairs that
    the causal mask leaves of a document of T tokens. Nothing else is counted: no recomputation, no
    norm, no optimizer.
    """
    s = SIZES[size]
    tokens = s.sequences * s.length
    gemms = 3 * 2 * tokens * (s.layers * s.layer_weights + s.vocabulary * s.width)
    pairs = s.sequences * sum(t * (t + 1) // 2 for t in s.documents or (s.length,))
    attention = s.layers * 6 * 2 * pairs * s.width
    return gemms + attention, gemms


def write_tokens(programs, size):
    """The batch of every contestant and step: random tokens, the same in every run."""
    s = SIZES[size]
    draw = random.Random(1)
    first = SEPARATOR + 1 if s.documents else 0
    count = s.sequences * s.length + 1
    tokens = array.array("H", (draw.randrange(first, s.vocabulary) for _ in range(count)))
    for end in itertools.accumulate(s.sequences * s.documents):
        tokens[end - 1] = SEPARATOR
    if sys.byteorder == "big":
        tokens.byteswap()
    programs.mkdir(parents=True, exist_ok=True)
    path = programs / f"tokens_{size}.bin"
    path.write_bytes(tokens.tobytes())
    return str(path)


def prepare(contestants, programs):
    """DeepSpeed compiles its operators at their first use: minutes that belong to no round."""
    for path in extensions(programs).rglob("lock"):
        path.unlink()  # of a build that was killed; whoever meets it waits for ever
    if all(c.missing or not c.name.startswith("DeepSpeed") for c in contestants):
        return
    print("DeepSpeed builds its operators, if it has not yet", file=sys.stderr)
    first = next(c for c in contestants if c.name.startswith("DeepSpeed"))
    alone = Contestant("", [first.command[0], "-u", str(HERE / "peers/zero.py"), "--size", "tiny"])
    alone.environment |= first.environment | {
        "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517",
    }
    data = write_tokens(programs, "tiny")
    result = run(alone, ["--data", data, "--steps", "1", "--warmup", "0"], timeout=1800)
    if "failed" in result:
        print(f"DeepSpeed alone: {result['failed']}", file=sys.stderr)


def check(contestant, result, size):
    """A sentence when the answer does not keep the contract."""
    times = result.get("seconds", [])
    if not times or not all(isinstance(t, (int, float)) and t > 0 for t in times):
        return "its JSON line has no list of seconds"
    if contestant.name == BOUND:
        counted, gemms = result.get("flops", 0), flops_of(size)[1]
        if not gemms <= counted <= 1.01 * gemms:  # its last block of the vocabulary may be padded
            return f"it multiplies {counted / 1e9} GFLOP, not {gemms / 1e9}: sizes.hpp and sizes.py"
        return ""
    if result.get("ranks") != contestant.ranks:
        return f"it ran {result.get('ranks')} ranks instead of {contestant.ranks}"
    if not math.isfinite(result.get("loss", math.nan)):
        return f"its loss is {result.get('loss')}"
    return ""


def summary(contestant):
    runs = [r for r in contestant.runs if "failed" not in r]
    if not runs:
        return None
    times = [t for r in runs for t in r["seconds"]]
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "slowest": max(times),
        "loss": runs[-1].get("loss"),
        "threads": runs[-1].get("threads"),
        "pss": max(r["pss_bytes"] for r in runs),
        "foreign": max(r["foreign"] + r["stolen"] for r in runs),
    }


def table(contestants, size):
    """Rows of text; every ratio is this row's step time over ours with the same number of ranks."""
    flops, gemms = flops_of(size)
    tokens = SIZES[size].sequences * SIZES[size].length
    found = {c.name: s for c in contestants if (s := summary(c))}
    best = {1: found.get(OURS), 2: found.get(f"{OURS} Zero<3>")}
    bound = found.get(BOUND)
    losses = [s["loss"] for s in found.values() if s["loss"] is not None]
    middle = statistics.median(losses) if losses else 0
    yield (
        f"{'':20s} {'ranks':>7s} {'step ms':>8s} {'min..max':>14s} {'tok/s':>7s} {'GFLOP/s':>8s}"
        f" {'of bound':>8s} {'ours is':>8s} {'GiB':>6s} {'loss':>7s} {'busy':>6s}"
    )
    for c in contestants:
        s = found.get(c.name)
        if not s:
            failed = next((r["failed"] for r in c.runs if "failed" in r), None)
            yield f"{c.name:20s} {f'failed: {failed}' if failed else c.absence or 'not run'}"
            continue
        is_bound = c.name == BOUND
        mine = None if is_bound or c.name.startswith(OURS) else best.get(c.ranks)
        row = f"{c.name:20s} {c.ranks:3d} x {CORES // c.ranks or 1:1d} {1e3 * s['seconds']:8.1f}"
        row += f" {1e3 * s['fastest']:6.0f}..{1e3 * s['slowest']:<6.0f}"
        row += f" {tokens / s['seconds']:7.1f}"
        row += f" {(gemms if is_bound else flops) / s['seconds'] / 1e9:8.1f}"
        row += f" {bound['seconds'] / s['seconds']:8.1%}" if bound else f" {'':8s}"
        row += f" {s['seconds'] / mine['seconds']:7.2f}x" if mine else f" {'':8s}"
        row += f" {s['pss'] / 2**30:6.2f}" if s["pss"] else f" {'':6s}"
        row += f" {s['loss']:7.3f}" if s["loss"] is not None else f" {'':7s}"
        row += f" {s['foreign']:6.1%}"
        if s["loss"] is not None and abs(s["loss"] - middle) > 0.02 * abs(middle) + 0.05:
            row += "  <- its loss is not the others'"
        failures = sum("failed" in r for r in c.runs)
        yield row + (f"  <- {failures} of {len(c.runs)} runs failed" if failures else "")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/compare"))
    parser.add_argument("--size", default="gpt2", choices=SIZES)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names that contain one of these")
    parser.add_argument("--list", action="store_true", help="print the contestants and stop")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of a run")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that a run may take")
    parser.add_argument("--max-foreign", type=float, default=0.1, metavar="SHARE",
                        help="wait up to a minute until others use less of the machine than this")
    options = parser.parse_args()
    if options.steps < 1 or options.warmup < 0 or options.rounds < 1:
        parser.error("--steps and --rounds begin at 1, --warmup at 0")
    if options.quick:
        options.rounds = 1
    return options


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare.py: stopped"))  # ends its ranks too
    options = arguments()
    contestants = everybody(options.programs, options.size, options.precision)
    if options.only:
        def chosen(name):
            return any(part.lower() in name.lower() for part in options.only)

        contestants = [c for c in contestants if chosen(c.name)]
        if not contestants:
            sys.exit(f"compare.py: no name contains {' or '.join(options.only)}; --list shows them")
    if options.list:
        for c in contestants:
            print(f"{c.name:20s} {c.absence or ' '.join(c.command)}")
        return

    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    results = HERE / "results" / f"compare-{options.size}-{options.precision}-{stamp}.jsonl"
    results.parent.mkdir(exist_ok=True)
    file = results.open("w")

    def record(**values):
        print(json.dumps(values), file=file, flush=True)

    record(kind="machine", cpu=cpu_name(), cores=CORES, system=platform.platform(), time=stamp,
           size=options.size, precision=options.precision, flops=flops_of(options.size)[0])
    steps = ["--steps", str(options.steps), "--warmup", str(options.warmup)]
    given = ["--data", write_tokens(options.programs, options.size), "--memory-steps", "1"]
    for c in contestants:
        if c.missing:
            record(kind="missing", name=c.name, why=c.missing)
    prepare(contestants, options.programs)
    for round_ in range(options.rounds):
        here = [c for c in contestants if not c.missing]
        for c in here if round_ % 2 == 0 else reversed(here):
            quiet = wait_for_quiet(options.max_foreign)
            print(f"round {round_ + 1} of {options.rounds}: {c.name}", file=sys.stderr,
                  end="" if quiet else " (the machine is not quiet)", flush=True)
            result = run(c, steps if c.name == BOUND else given + steps, options.timeout)
            trouble = "failed" not in result and check(c, result, options.size)
            if trouble:
                result["failed"] = trouble
            c.runs.append(result)
            about = {"kind": "run", "name": c.name, "round": round_ + 1, "quiet": quiet}
            record(**(result | about))
            said = result.get("failed") or f"{1e3 * statistics.median(result['seconds']):.0f} ms"
            print(f": {said}", file=sys.stderr)

    for c in contestants:
        if s := summary(c):
            record(kind="median", name=c.name, ranks=c.ranks, **s)
    size = SIZES[options.size]
    tokens = f"{size.sequences} x {size.length} tokens"
    print(f"{cpu_name()}, {CORES} cores; {options.size}, {tokens} a step,"
          f" {options.precision}; medians of {options.rounds} x {options.steps} steps\n")
    print("\n".join(table(contestants, options.size)))
    print(f"\nof bound: the time of the step's GEMMs alone over the step's. ours is: how many times"
          f" faster {OURS} is\n(1 rank) or {OURS} Zero<3> (2 ranks). busy: the share of the machine"
          f" that others took in the worst run.\nEvery run: {results}")
    if any("failed" in r for c in contestants for r in c.runs):
        sys.exit(1)


main()
