#!/usr/bin/env bash
# How long a user's file takes to compile: bench/compile_time.cpp, GPT-2 with a Zero<3> trainer, as
# it is (12 layers) and with 96.
#
#   bench/compile_time.sh [--file FILE] [--repeat N] [--limit g++=SECONDS] [--limit nvcc=SECONDS]
#
# FILE           is compiled with -DTESSERA_LAYERS=12, then 96
# The table shows medians of N (3) compiles, to an object file, nothing cached; with --limit the
# status says whether every median kept it. JSON lines go to bench/results/.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

exec python3 - "$@" <<'PYTHON'
import argparse
import datetime
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(prog="bench/compile_time.sh")
parser.add_argument("--file", default="bench/compile_time.cpp")
parser.add_argument("--repeat", type=int, default=3)
parser.add_argument("--limit", action="append", default=[], metavar="COMPILER=SECONDS")
options = parser.parse_args()
if not pathlib.Path(options.file).is_file():
    sys.exit(f"compile_time.sh: there is no {options.file}; name one with --file")
if options.repeat < 1:
    sys.exit("compile_time.sh: --repeat begins at 1")
limits = dict(limit.split("=") for limit in options.limit)


def mpi_flags():
    """Where mpi.h lies; -isystem, because nvcc's warnings are ours alone."""
    for package in ("ompi-cxx", "ompi", "mpich"):
        found = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        if found.returncode == 0:
            folders = [f[2:] for f in shlex.split(found.stdout) if f.startswith("-I")]
            return [word for folder in folders for word in ("-isystem", folder)]
    return []


without_mpi_cxx = ["-DOMPI_SKIP_MPICXX", "-DMPICH_SKIP_MPICXX"]
common = ["-std=c++20", "-O2", "-Iinclude", *without_mpi_cxx, *mpi_flags()]
compilers = {
    "g++": ["g++", *common, "-march=native", "-fopenmp"],
    "clang++": ["clang++", *common, "-march=native", "-fopenmp"],
    "nvcc": ["nvcc", *common, "-Xcompiler", "-fopenmp,-march=native", "-x", "cu"],
}
if unknown := set(limits) - set(compilers):
    sys.exit(f"compile_time.sh: {sorted(unknown)[0]} is none of {', '.join(compilers)}")


def compile_once(command):
    """(seconds, GiB of the largest process) of one compile, or its last words."""
    with tempfile.TemporaryFile("w+") as said:
        before = time.perf_counter()
        compiler = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(compiler.pid, 0)
        seconds = time.perf_counter() - before
        compiler.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().split("\n")
    if compiler.returncode:
        errors = [line for line in lines if "error" in line] or [line for line in lines if line]
        return None, (errors or ["it said nothing"])[0][:200]
    return (seconds, usage.ru_maxrss / 2**20), ""


stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
results = pathlib.Path("bench/results") / f"compile_time-{stamp}.jsonl"
results.parent.mkdir(exist_ok=True)
bad = False
print(f"{options.file}, -O2, medians of {options.repeat}")
print(f"{'':8s} {'12 layers':>12s} {'96 layers':>12s} {'GiB':>6s}")
with results.open("w") as file, tempfile.TemporaryDirectory() as scratch:
    for name, command in compilers.items():
        if not shutil.which(command[0]):
            print(f"{name:8s} not found")
            bad |= name in limits
            continue
        row, most, trouble = [], 0, ""
        for layers in (12, 96):
            times = []
            for _ in range(options.repeat):
                define = f"-DTESSERA_LAYERS={layers}"
                files = ["-c", options.file, "-o", f"{scratch}/o"]
                measured, trouble = compile_once([*command, define, *files])
                if trouble:
                    break
                times.append(measured[0])
                most = max(most, measured[1])
            if trouble:
                break
            row.append(statistics.median(times))
            record = {"compiler": name, "layers": layers, "seconds": times, "gib": most}
            print(json.dumps(record), file=file)
        if trouble:
            print(f"{name:8s} failed: {trouble}")
            bad |= name == "g++" or name in limits
            continue
        late = name in limits and max(row) > float(limits[name])
        bad |= late
        mark = "  <- over its limit" if late else ""
        print(f"{name:8s} {row[0]:10.1f} s {row[1]:10.1f} s {most:6.2f}{mark}")
sys.exit(bad)
PYTHON
