#!/usr/bin/env python3
"""Lists the programs and test scripts of one folder for meson, so that no new file is forgotten.

    listing.py FOLDER      a line per file: kind|name|path|ranks|timeout|flags|arguments
                           kind: program, static or script

What a file needs stands in comments among its first lines (`//` in C++, `#` in scripts):

    // ranks: 1 2 4     runs under mpirun with 1, then 2, then 4 ranks; so does, without it, what
                        reaches ranks.hpp; everything else runs plainly
    // double           compiled with -DTESSERA_DOUBLE
    // cuda             with the CUDA backend, on the doubles of tests/cuda_double
    // cudnn            the same, with cuDNN's attention on its double
    // static           passes by compiling
    // nvcc             also compiled by nvcc
    // timeout: 120     seconds; 60 unless told
    // args: --steps 2  its arguments; @source@ and @build@ stand for the two folders
    // manual           built, not run as a test
    # test              a script that is run as a test
    // beside           a script that may run while others do: no time matters in it
"""

import pathlib
import re
import sys

import compilers

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Not tests themselves.
APART = ("tests/reject", "tests/consumer", "tests/fixtures", "tests/main", "tests/cuda_double")
FIRST_LINES = 12
RANKS = ROOT / "tests/ranks.hpp"
DIRECTIVE = re.compile(r"^(?://|#) (?:(ranks|timeout|args):\s*(.*)"
                       r"|(double|cuda|cudnn|static|nvcc|manual|test|beside))$")


def directives(path):
    found = {}
    with open(path, errors="replace") as file:
        for line in [line.rstrip() for _, line in zip(range(FIRST_LINES), file)]:
            at = DIRECTIVE.match(line)
            if at:
                found[at[1] or at[3]] = (at[2] or "").strip()
    return found


def files(folder, ending):
    every = sorted((ROOT / folder).rglob(f"*{ending}"))
    inside = [p for p in every if not p.relative_to(ROOT).as_posix().startswith(APART)]
    scripts = ending in (".sh", ".py")
    return [p for p in (every if scripts else inside) if p.is_file()]


def programs(folders=("tests", "examples", "bench")):
    return [p for f in folders for p in files(f, ".cpp")]


def line(kind, path, folder, found):
    inside = path.relative_to(ROOT / folder)
    name = inside.with_suffix("").as_posix() if kind == "program" else inside.as_posix()
    if folder != "tests":
        name = f"{folder}/{name}"
    if kind == "program" and "static" in found:
        kind = "static"
    under_mpi = kind != "script" and RANKS in compilers.closure(path)
    ranks = found.get("ranks", "1 2 4" if under_mpi else "0")
    flags = [f for f in ("double", "cuda", "cudnn", "manual", "beside") if f in found]
    flags += ["ranks"] * under_mpi
    arguments = found.get("args", "")
    if "|" in arguments:
        sys.exit(f"{path}: an argument cannot hold a '|'")
    return "|".join([kind, name, path.relative_to(ROOT).as_posix(), ranks,
                     found.get("timeout", "60"), " ".join(flags), arguments])


def main():
    folder = sys.argv[1]
    for path in files(folder, ".cpp"):
        print(line("program", path, folder, directives(path)))
    scripts = [(path, directives(path)) for e in (".sh", ".py") for path in files(folder, e)]
    for path, found in sorted(scripts, key=lambda script: "beside" not in script[1]):
        if "test" in found:
            print(line("script", path, folder, found))


if __name__ == "__main__":
    main()
