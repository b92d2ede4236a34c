#!/usr/bin/env python3
"""Compiles what the test programs themselves do not cover: each file alone, on one compiler.

    headers.py SET COMPILER --build DIR [FILE...]

SET       headers   every header under include/ and kernels/, included alone
          kernels   every header under kernels/, for each GPU architecture that is supported
          programs  tests, examples and benches; nvcc: those that say `// nvcc`
          static    FILE..., tests that pass by compiling
          link      all headers in two translation units, linked: nothing may be defined twice
COMPILER  gxx | clang | nvcc
"""

import argparse
import pathlib
import re
import subprocess

import compilers
import listing as tests
from compilers import ROOT

DOUBLES = ROOT / "tests" / "cuda_double"


def headers(folders=("include/tessera", "kernels")):
    found = [p for f in folders for p in sorted((ROOT / f).rglob("*.hpp"))]
    return sorted({p.resolve() for p in found})


def spelled(header):
    """How a user includes it: tessera/core/shape.hpp."""
    inside = header.relative_to(ROOT).as_posix()
    return inside.removeprefix("include/") if inside.startswith("include/") else f"tessera/{inside}"


def including(work, names, file):
    unit = work / file
    wanted = "".join(f"#include <{n}>\n" for n in names)
    if not unit.exists() or unit.read_text() != wanted:
        unit.write_text(wanted)
    return unit


def judge(status, output):
    return compilers.first_errors(output) if status else ""


def job(options, path, source, **how):
    out = options.work / (re.sub(r"\W", "-", str(path.relative_to(ROOT))) + ".o")
    words = compilers.command(options.compiler, source, out, **how)
    flags = tests.directives(path)
    if flags.get("double") is not None:
        words.insert(1, "-DTESSERA_DOUBLE")
    if flags.get("cudnn") is not None:
        words.insert(1, "-DTESSERA_CUDNN")
    if {"cuda", "cudnn"} & flags.keys() or DOUBLES in path.parents:
        words[1:1] = ["-DTESSERA_CUDA", "-DTESSERA_CUDA_DOUBLE", f"-I{DOUBLES}",
                      *compilers.cuda_headers()]

    def run():
        try:
            return compilers.run_cached(options.build, words, path, judge)
        finally:
            out.unlink(missing_ok=True)

    return str(path.relative_to(ROOT)), run


def link(options):
    names = [spelled(h) for h in headers()]
    objects = [options.work / "one.o", options.work / "two.o"]
    main = including(options.work, names, "one.cpp")
    main.write_text(main.read_text() + "int main() {}\n")
    sources = [main, including(options.work, names, "two.cpp")]
    for source, out in zip(sources, objects):
        words = compilers.command(options.compiler, source, out)
        words[words.index("-fsyntax-only")] = "-c"
        done = subprocess.run([*words, "-o", str(out)], capture_output=True, text=True)
        if done.returncode:
            return compilers.first_errors(done.stderr)
    mpi = subprocess.run(["mpicxx", "--showme:link"], capture_output=True, text=True).stdout.split()
    done = subprocess.run([compilers.find(options.compiler), "-fopenmp", *map(str, objects),
                           "-o", str(options.work / "both"), *mpi, "-ldnnl"],
                          capture_output=True, text=True)
    said = "\n".join("    " + line for line in done.stderr.splitlines()[:20])
    return said if done.returncode else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=["headers", "kernels", "programs", "static", "link"])
    parser.add_argument("compiler", choices=["gxx", "clang", "nvcc"])
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    options = parser.parse_intermixed_args()
    compilers.need(options.compiler)
    options.work = options.build / "checks" / f"{options.set}-{options.compiler}"
    options.work.mkdir(parents=True, exist_ok=True)

    what = f"{options.set} on {options.compiler}"
    if options.set == "link":
        compilers.report(what, [("all headers in two translation units", lambda: link(options))])
    if options.set in ("headers", "kernels"):
        chosen = headers() if options.set == "headers" else headers(("kernels",))
        how = ({"front_end": True} if options.set == "headers" else
               {"architectures": compilers.CUDA_ARCHITECTURES})
        todo = [job(options, h, including(options.work, [spelled(h)],
                                          re.sub(r"\W", "-", spelled(h)) + ".cpp"), **how)
                for h in chosen]
    elif options.set == "programs" and options.compiler == "nvcc":
        chosen = [p for p in tests.programs() if tests.directives(p).get("nvcc") is not None]
        todo = [job(options, p, p) for p in chosen]
    elif options.set == "programs":
        mains = sorted((ROOT / "tests" / "main").glob("*.cpp"))
        doubles = sorted(DOUBLES.glob("*.cpp"))
        todo = [job(options, p, p) for p in [*mains, *doubles, *tests.programs()]]
    else:
        todo = [job(options, p.resolve(), p.resolve()) for p in options.files]
    compilers.report(what, todo)


if __name__ == "__main__":
    main()
