"""The compilers as the checks use them: flags, includes, and a cache of what has passed.

A check is a list of jobs. A job passes or fails by what it is made of: the command line, the
compiler's version, the file and every header of this tree it includes. Jobs that passed are
remembered under a hash of that in BUILD/checks/, so a second run only does what has changed.
"""

import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = 77  # what meson reads as: this test could not run here

CUDA_ARCHITECTURES = ("80", "90a", "100")


def jobs():
    return int(os.environ.get("TESSERA_JOBS", "2"))


def find(compiler):
    """The path of gxx, clang or nvcc; None if this machine has none."""
    if compiler == "nvcc":
        homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
        beside = [f"{home}/bin/nvcc" for home in homes if home]
        return shutil.which("nvcc") or next((p for p in beside if os.access(p, os.X_OK)), None)
    return shutil.which({"gxx": "g++", "clang": "clang++"}[compiler])


def cuda_headers():
    """For host compilers: where the headers beside nvcc are, without their warnings."""
    nvcc = find("nvcc")
    return ["-isystem", f"{pathlib.Path(nvcc).resolve().parent.parent}/include"] if nvcc else []


@functools.lru_cache(maxsize=None)
def version(path):
    return subprocess.run([path, "--version"], capture_output=True, text=True).stdout


@functools.lru_cache(maxsize=None)
def mpi_flags():
    """MPI's include paths as system paths: its headers are not ours to warn about."""
    for ask in (["mpicxx", "--showme:compile"], ["pkg-config", "--cflags", "mpi-cxx"]):
        if shutil.which(ask[0]):
            told = subprocess.run(ask, capture_output=True, text=True)
            if told.returncode == 0:
                flags = shlex.split(told.stdout)
                paths = [f[2:] for f in flags if f.startswith("-I")]
                return tuple(x for p in paths for x in ("-isystem", p))
    return ()


def command(compiler, source, out, architectures=("80",), front_end=False):
    """The command that checks one translation unit; nothing but its exit status is wanted.

    front_end: nvcc stops after its device pass. That pass reads and checks all of the host's code
    too, in a third of the time; ptxas and the host compiler see what the other sets compile.
    """
    include = [f"-I{ROOT}/include", f"-I{ROOT}/tests", *mpi_flags(), "-DOMPI_SKIP_MPICXX",
               "-DMPICH_SKIP_MPICXX"]
    if compiler == "nvcc":
        generate = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
        host = "-fopenmp,-Wall,-Wextra"
        return [find("nvcc"), "-std=c++20", "-Xcompiler", host, "-Werror", "all-warnings",
                *generate, *include, "-x", "cu", "-ptx" if front_end else "-c", str(source), "-o",
                str(out)]
    native = ["-march=native"] if os.environ.get("TESSERA_NATIVE", "1") == "1" else []
    pedantic = ["-Wpedantic", "-Wshadow"] if compiler == "gxx" else []
    return [find(compiler), "-std=c++20", *native, "-fopenmp", "-Wall", "-Wextra", *pedantic,
            "-Werror", "-fsyntax-only", *include, str(source)]


INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


@functools.lru_cache(maxsize=None)
def text_of(path):
    return path.read_text(errors="replace")


@functools.lru_cache(maxsize=None)
def includes(path):
    """The files of this tree that `path` includes itself."""
    found = []
    for name in INCLUDE.findall(text_of(path)):
        for place in (path.parent / name, ROOT / "include" / name, ROOT / "tests" / name):
            if place.is_file():
                found.append(place.resolve())
                break
    return tuple(found)


def closure(path):
    """`path` and every file of this tree it reaches by #include."""
    seen, todo = set(), [path]
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo.extend(includes(here))
    return sorted(seen)


def run_cached(build, words, path, judge, extra=""):
    """Runs `words` for `path` unless it passed before. judge(status, output) -> complaint or ''."""
    build = pathlib.Path(build) / "checks"
    build.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256()
    for part in (version(words[0]), *words, extra):
        key.update(part.encode() + b"\0")
    for file in closure(path):
        key.update(str(file.relative_to(ROOT)).encode() + b"\0" + text_of(file).encode() + b"\0")
    passed = build / key.hexdigest()[:40]
    if passed.exists():
        return ""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", cwd=ROOT)
    complaint = judge(done.returncode, done.stdout)
    if not complaint:
        passed.touch()
    return complaint


def first_errors(output, lines=8):
    """The lines around the first error of a compiler's output."""
    every = output.splitlines()
    at = next((i for i, line in enumerate(every) if re.search(r"\berror\b", line)), 0)
    return "\n".join("    " + line for line in every[max(0, at - 2): at + lines])


def report(what, todo):
    """Does the jobs, (name, function -> complaint) each, and ends the process with the verdict."""
    if not todo:
        sys.exit(f"{what}: nothing to check; a check of nothing is no check")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs()) as pool:
        for name, complaint in zip([n for n, _ in todo], pool.map(lambda job: job[1](), todo)):
            if complaint:
                failed += 1
                print(f"FAILED {name}\n{complaint}", flush=True)
    print(f"{what}: {len(todo) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def need(compiler):
    if find(compiler) is None:
        print(f"no {compiler} on this machine: nothing was checked")
        sys.exit(SKIPPED)
