#!/usr/bin/env python3
# test
# timeout: 480
# args: --build @build@
"""What every kernel takes of each GPU: registers, bytes that it spills, and whether it moves 16
bytes at a time, held to resources.txt.

    resources.py --build DIR [--write]      --write: makes the table anew

Compiles all kernels (team.cu) and a program of the whole backend (program.cu) by one nvcc for all
architectures, warnings as errors, and links them with the CUDA libraries. Fails if a kernel takes
more registers than the table says, spills what the table does not, no longer loads and stores 16
bytes at once where it did, or is in only one of the two. Registers depend on the compiler: with
another nvcc than the table's they do not count.
"""

import argparse
import hashlib
import pathlib
import re
import shutil
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
CUB = re.compile(r"void cub::")
INNER = re.compile(r"^detail::(?:Each<(.*)>|Rows<(.*), cuda::(Block|Warp)Threads>)$")
LINE = re.compile(r"^(\S.*?) {2,}((?: *\d+)+)( *16-byte)?(?:  spills((?: *\d+)+))?$")
# Vectors of 16 bytes in PTX, which ptxas neither makes nor cuts.
LOADS = re.compile(r"\bld\.(?:global\.)?(?:nc\.)?v(?:4\.\w32|2\.\w64)")
STORES = re.compile(r"\bst\.(?:global\.)?v(?:4\.\w32|2\.\w64)")


def command(program, threads, kept):
    mpi = subprocess.run(["mpicxx", "--showme:link"], capture_output=True, text=True).stdout.split()
    libraries = ["-lcublasLt", "-ldnnl", "-ldl", "-Xcompiler", "-fopenmp",
                 *[word for word in mpi if word.startswith(("-L", "-l"))]]
    nvcc = pathlib.Path(compilers.find("nvcc")).resolve()
    places = [nvcc.parent.parent / "lib64", pathlib.Path("/usr/lib/x86_64-linux-gnu")]
    if any((place / "libnccl.so").exists() for place in places):
        libraries.append("-lnccl")
    words = compilers.command("nvcc", SOURCES[0], program,
                              architectures=compilers.CUDA_ARCHITECTURES)
    words.remove("-c")
    return [*words, str(SOURCES[1]), "-DTESSERA_CUDA", "-Xptxas", "-v", "--threads", str(threads),
            "-keep", "-keep-dir", str(kept), *libraries]


def short(symbols):
    """Add<float, float> for what nvcc calls a kernel of that, in the order of the symbols; None for
    a kernel of CUB's, which are tuned by NVIDIA for each architecture."""
    plain = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    names = []
    for symbol in plain:
        if CUB.match(symbol):
            names.append(None)
            continue
        name = ENTRY.match(symbol)[1]
        name = re.sub(r"tessera::\w+::|tessera::|kernel::|\(anonymous namespace\)::", "", name)
        name = re.sub(r"\(([\w ]+)\)(\d+)", r"\2", name.replace(" >", ">"))
        inner = INNER.match(name.strip())
        if inner:
            name = inner[1] or inner[2] + (" by warps" if inner[3] == "Warp" else "")
        names.append(name.strip())
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
        if name is None:
            continue
        here = taken.setdefault(name, {})
        more = int(registers), int(stores) + int(loads)
        here[architecture] = max(more, here.get(architecture, more))
    return taken


def wide(kept):
    """The kernels that load and store 16 bytes at a time, by the first architecture's PTX."""
    found = {}
    for source in SOURCES:
        ptx = kept / f"{source.stem}.compute_{compilers.CUDA_ARCHITECTURES[0]}.ptx"
        entries = re.split(r"\.entry (\w+)\(", ptx.read_text())[1:]
        if entries:
            for name, text in zip(short(entries[::2]), entries[1::2]):
                found[name] = bool(LOADS.search(text) and STORES.search(text))
    return {name for name, yes in found.items() if yes and name}


def version():
    return re.search(r"release ([\d.]+)", compilers.version(compilers.find("nvcc")))[1]


def render(taken, moves):
    column = max(map(len, taken)) + 2
    lines = [f"Registers on {', '.join(ARCHITECTURES)} by nvcc {version()}; 16-byte: loads and "
             "stores 16 bytes", "at a time; bytes spilled on each, if any. Rows are blocks' unless "
             "by warps.",
             "resources.py holds kernels to this table and makes it anew with --write.", ""]
    for name, at in sorted(taken.items()):
        line = f"{name:{column}}" + "".join(f"{at[a][0]:5}" for a in ARCHITECTURES)
        line += "  16-byte" if name in moves else ""
        if any(at[a][1] for a in ARCHITECTURES):
            line += "  spills" + "".join(f"{at[a][1]:5}" for a in ARCHITECTURES)
        lines.append(line)
    return "\n".join(lines) + "\n"


def table():
    """As told() and wide() have it; was it made by this nvcc?"""
    text = TABLE.read_text() if TABLE.exists() else ""
    held, moves = {}, set()
    for line in filter(None, map(LINE.match, text.splitlines())):
        registers = [int(n) for n in line[2].split()]
        spills = [int(n) for n in (line[4] or "0 " * len(registers)).split()]
        held[line[1]] = dict(zip(ARCHITECTURES, zip(registers, spills)))
        if line[3]:
            moves.add(line[1])
    return held, moves, f"by nvcc {version()};" in text


def compared(taken, moves):
    held, moved, same_compiler = table()
    wrong = [f"{name} is not in resources.txt" for name in sorted(taken.keys() - held.keys())]
    wrong += [f"{name} is in resources.txt and is no kernel" for name in
              sorted(held.keys() - taken.keys())]
    wrong += [f"{name} no longer moves 16 bytes at a time" for name in
              sorted(moved & taken.keys() - moves)]
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
    program, kept = work / "cuda-program", work / "cuda-kept"
    kept.mkdir(exist_ok=True)
    wrong = []

    def judge(status, output):
        if status:
            return compilers.first_errors(output, 20)
        taken = told(output)
        if taken is None:
            once_more = subprocess.run(command(program, 1, kept), capture_output=True, text=True)
            taken = told(once_more.stdout + once_more.stderr)
        moves = wide(kept)
        if options.write:
            TABLE.write_text(render(taken, moves))
            print(f"{len(taken)} kernels written")
        wrong.extend(compared(taken, moves))
        return "\n".join(wrong)

    # What a pass depends on beside team.cu: the table, the program and the judge.
    closure = {f for s in SOURCES for f in compilers.closure(s)} | {HERE / "resources.py"}
    beside = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(closure)))
    if TABLE.exists() and not options.write:
        beside.update(TABLE.read_bytes())
    extra = "anew" if options.write else beside.hexdigest()
    words = command(program, 2, kept)
    complaint = compilers.run_cached(options.build, words, SOURCES[0], judge, extra)
    print(complaint or f"{len(table()[0])} kernels within resources.txt on "
          f"{', '.join(ARCHITECTURES)}; a whole program links")
    shutil.rmtree(kept)
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main())
