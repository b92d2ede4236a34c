#!/usr/bin/env python3
# test
# beside
# timeout: 300
"""The first program in README.md is at most 40 lines, compiles without a warning, and trains.

It is compiled twice: as it stands, and with its numbers made small, which then runs on 2 ranks for
2 steps on made-up tokens.
"""

import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compilers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = 40
RANKS = 2

# What makes a program that trains for days one that trains for seconds; absent text is no error.
SMALL = [
    (r"\bRepeat<\d+", "Repeat<2"),
    (r"\bstep < [\d']+", "step < 2"),
    (r"\b502\d\d\b", "512"),
    (r"\b1024\b", "64"),
    (r"\b768\b", "192"),
    (r"\bAccumulate<\d+>", "Accumulate<2>"),
]


def listing():
    page = ROOT / "README.md"
    if not page.exists():
        sys.exit("README.md is missing")
    block = re.search(r"^```cpp\n(.*?)^```$", page.read_text(), re.M | re.S)
    if not block:
        sys.exit("README.md has no ```cpp block")
    return block[1]


def compile_program(source, words):
    done = subprocess.run([*words, str(source)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the program in README.md does not compile:\n{done.stderr[:6000]}")


def link_flags():
    told = subprocess.run(["mpicxx", "--showme:link"], capture_output=True, text=True)
    return told.stdout.split() if told.returncode == 0 else ["-lmpi"]


def make_data(program, folder):
    """Every file the program opens: tokens below 256, as 16 bits for .bin, as text otherwise."""
    dice = random.Random(1)
    for name in re.findall(r'"([\w./-]+\.(?:bin|txt))"', program):
        data = bytearray()
        for _ in range(50_000):
            data += bytes([dice.randrange(32, 127)]) + (b"\0" if name.endswith(".bin") else b"")
        (folder / name).write_bytes(bytes(data))


def main():
    program = listing()
    count = len(program.splitlines())
    if count > LINES:
        sys.exit(f"the first program in README.md has {count} lines; at most {LINES}")

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source = folder / "readme.cpp"
        source.write_text(program)
        check = compilers.command("gxx", source, None)[:-1]
        compile_program(source, check)
        if "int main(" not in program:
            print(f"{count} lines, compiles; it has no main")
            return

        for pattern, small in SMALL:
            program = re.sub(pattern, small, program)
        source.write_text(program)
        build = [w for w in check if w != "-fsyntax-only"]
        last = ["-O1", "-o", str(folder / "readme")]
        done = subprocess.run([*build, *last, str(source), *link_flags(), "-ldnnl"],
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the small form of README.md's program does not build:\n{done.stderr[:6000]}")
        make_data(program, folder)
        run = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
               "-n", str(RANKS), str(folder / "readme")]
        done = subprocess.run(run, capture_output=True, text=True, cwd=folder, timeout=200,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
        print(done.stdout[-2000:])
        if done.returncode:
            sys.exit(f"README.md's program ended with {done.returncode}:\n{done.stderr[-3000:]}")
        print(f"{count} lines, compiles, and runs on {RANKS} ranks")


if __name__ == "__main__":
    main()
