#!/usr/bin/env python3
# test
# timeout: 240
# args: --build @build@
"""What every kernel takes of each GPU: registers, and bytes that it spills, held to resources.txt.

    resources.py --build DIR [--write]      --write: makes the table anew

Compiles all kernels (team.cu) and a program of the whole backend (program.cu) by one nvcc for all
architectures, warnings as errors, and links them with the CUDA libraries. Fails if a kernel takes
more registers than the table says, spills what the table does not, or is in only one of the two.
Registers depend on the compiler: with another nvcc than the table's, only spills and names count.
"""

import argparse
import hashlib
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
import compilers  # noqa: E402

TABLE = HERE / "resources.txt"
SOURCES = [HERE / "team.cu", HERE / "program.cu"]
ARCHITECTURES = [f"sm_{a}" for a in compilers.CUDA_ARCHITECTURES]
WORDS = re.compile(
    r"Compiling entry function '(\w+)' for '(\w+)'\n"
    r"ptxas info +: Function properties for (\w+)\n"
    r" *\d+ bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r"ptxas info +: Used (\d+) registers")
ENTRY = re.compile(r"void tessera::\w+::cuda::detail::run<\d+, (.*)>\(.*\)$")
INNER = re.compile(r"^detail::(?:Rows|Each)<(.*)>$")
LINE = re.compile(r"^(\S.*?) {2,}((?: *\d+)+)(?:  spills((?: *\d+)+))?$")


def command(program, threads):
    libraries = ["-lcublasLt", "-ldnnl", "-Xcompiler", "-fopenmp"]
    nvcc = pathlib.Path(compilers.find("nvcc")).resolve()
    places = [nvcc.parent.parent / "lib64", pathlib.Path("/usr/lib/x86_64-linux-gnu")]
    if any((place / "libnccl.so").exists() for place in places):
        libraries.append("-lnccl")
    words = compilers.command("nvcc", SOURCES[0], program,
                              architectures=compilers.CUDA_ARCHITECTURES)
    words.remove("-c")
    return [*words, str(SOURCES[1]), "-DTESSERA_CUDA", "-Xptxas", "-v", "--threads", str(threads),
            *libraries]


def short(symbols):
    """Add<float, float> for what nvcc calls a kernel of that, in the order of the symbols."""
    plain = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    names = []
    for symbol in plain:
        name = ENTRY.match(symbol)[1]
        name = re.sub(r"tessera::\w+::|tessera::|kernel::|\(anonymous namespace\)::", "", name)
        name = re.sub(r"\(([\w ]+)\)(\d+)", r"\2", name.replace(" >", ">"))
        names.append(INNER.sub(r"\1", name.strip()))
    return names


def told(output):
    """{kernel: {architecture: (registers, bytes spilled)}} of ptxas' words; None if two of it that
    ran at once have mixed them."""
    found = WORDS.findall(output)
    whole = len(found) == output.count("Compiling entry function")
    if not whole or any(entry != of for entry, _, of, *_ in found):
        return None
    taken = {}
    for name, (_, architecture, _, stores, loads, registers) in zip(short([f[0] for f in found]),
                                                                   found):
        here = taken.setdefault(name, {})
        more = int(registers), int(stores) + int(loads)
        here[architecture] = max(more, here.get(architecture, more))
    return taken


def version():
    return re.search(r"release ([\d.]+)", compilers.version(compilers.find("nvcc")))[1]


def render(taken):
    wide = max(map(len, taken)) + 2
    lines = [f"Registers on {', '.join(ARCHITECTURES)} by nvcc {version()}; bytes spilled there, "
             "if any.",
             "resources.py holds kernels to this table and makes it anew with --write.", ""]
    for name, at in sorted(taken.items()):
        counts = "".join(f"{at[a][0]:5}" for a in ARCHITECTURES)
        spilled = "".join(f"{at[a][1]:5}" for a in ARCHITECTURES)
        some = any(at[a][1] for a in ARCHITECTURES)
        lines.append(f"{name:{wide}}{counts}" + (f"  spills{spilled}" if some else ""))
    return "\n".join(lines) + "\n"


def table():
    text = TABLE.read_text() if TABLE.exists() else ""
    held = {}
    for line in filter(None, map(LINE.match, text.splitlines())):
        registers = [int(n) for n in line[2].split()]
        spills = [int(n) for n in (line[3] or "0 " * len(registers)).split()]
        held[line[1]] = dict(zip(ARCHITECTURES, zip(registers, spills)))
    same = f"by nvcc {version()};" in text
    return held, same


def compared(taken):
    held, same_compiler = table()
    wrong = [f"{name} is not in resources.txt" for name in sorted(taken.keys() - held.keys())]
    wrong += [f"{name} is in resources.txt and is no kernel" for name in
              sorted(held.keys() - taken.keys())]
    for name in sorted(taken.keys() & held.keys()):
        for a in ARCHITECTURES:
            (registers, spilled), (may, may_spill) = taken[name][a], held[name][a]
            if same_compiler and registers > may:
                wrong.append(f"{name} on {a}: {registers} registers, {may} in resources.txt")
            if spilled > may_spill:
                wrong.append(f"{name} on {a}: spills {spilled} bytes, {may_spill} in resources.txt")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    compilers.need("nvcc")
    work = options.build / "checks"
    work.mkdir(parents=True, exist_ok=True)
    program = work / "cuda-program"
    wrong = []

    def judge(status, output):
        if status:
            return compilers.first_errors(output, 20)
        taken = told(output)
        if taken is None:
            once_more = subprocess.run(command(program, 1), capture_output=True, text=True)
            taken = told(once_more.stdout + once_more.stderr)
        if options.write:
            TABLE.write_text(render(taken))
            print(f"{len(taken)} kernels written")
        wrong.extend(compared(taken))
        return "\n".join(wrong)

    # What a pass depends on beside team.cu: the table, the program and the judge.
    closure = {f for s in SOURCES for f in compilers.closure(s)} | {HERE / "resources.py"}
    beside = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(closure)))
    if TABLE.exists() and not options.write:
        beside.update(TABLE.read_bytes())
    extra = "anew" if options.write else beside.hexdigest()
    complaint = compilers.run_cached(options.build, command(program, 2), SOURCES[0], judge, extra)
    print(complaint or f"{len(table()[0])} kernels within resources.txt on "
          f"{', '.join(ARCHITECTURES)}; a whole program links")
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main())
