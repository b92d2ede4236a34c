"""Who takes part in compare.py: how each contestant is started, or why it cannot be."""

import json
import os
import pathlib
import shutil
import subprocess

from peers.sizes import SIZES

HERE = pathlib.Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))
BOUND, OURS = "gemm bound", "tessera"
ELSEWHERE = "not for this size"


class Contestant:
    def __init__(self, name, command, ranks=1, missing="", environment=None):
        self.name, self.command, self.ranks, self.missing = name, command, ranks, missing
        threads = max(1, CORES // ranks)
        self.environment = {"OMP_NUM_THREADS": str(threads)} | (environment or {})
        self.runs = []  # one dict per round

    @property
    def absence(self):
        return self.missing if self.missing in ("", ELSEWHERE) else f"not found: {self.missing}"


def everybody(programs, size, precision):
    """All there are; those of several ranks, and GPT-2 only, sit out a size of one process."""
    found = [
        *ours(programs, size, precision),
        *peers(os.environ.get("TESSERA_PEERS"), programs, size, precision),
        *llmc(programs, size, precision),
    ]
    for c in found:
        if SIZES[size].one_process and (c.ranks > 1 or c.name == "llm.c"):
            c.missing = ELSEWHERE
    return found


def ours(programs, size, precision):
    mpi = []
    if shutil.which("mpirun"):
        version = subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout
        if "Open MPI" in version:
            mpi = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]

    def why(program, needs_mpi=False):
        if needs_mpi and not shutil.which("mpirun"):
            return "mpirun is not installed"
        if not (programs / program).exists():
            log = programs / f"{program}.log"
            return f"did not build, see {log}" if log.exists() else f"no {programs / program}"
        return ""

    bound = "gemm_bound"
    command = [str(programs / bound), "--size", size, "--precision", precision]
    yield Contestant(BOUND, command, missing=why(bound))
    single = f"step_{size}_{precision}_zero0"
    yield Contestant(OURS, [str(programs / single)], missing=why(single))
    for stage in (0, 1, 2, 3):
        program = f"step_{size}_{precision}_zero{stage}"
        command = ["mpirun", *mpi, "-n", "2", str(programs / program)]
        yield Contestant(f"{OURS} Zero<{stage}>", command, 2, why(program, needs_mpi=True))


def interpreter(where):
    """(the Python at TESSERA_PEERS, "") or (None, why there is none)."""
    if not where:
        return None, "TESSERA_PEERS is not set"
    places = pathlib.Path(where) / "bin/python", pathlib.Path(where)
    python = next((str(p.absolute()) for p in places if p.is_file()), None)
    missing = f"TESSERA_PEERS={where} is no Python and no virtual environment"
    return python, "" if python else missing


def peers(where, programs, size, precision):
    python, missing = interpreter(where)
    found = {}
    if python:
        probe = (
            "import importlib.metadata as m, json\n"
            "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
        )
        answer = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        found = json.loads(answer.stdout) if answer.returncode == 0 else {}

    def lacks(*packages):
        absent = [p for p in packages if p not in found]
        return missing if not python else f"{python} has no {absent[0]}" if absent else ""

    def script(name, *options, ranks=1):
        command = [python or "python", "-u"]
        if ranks > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += ["--nproc-per-node", str(ranks)]
        command += [str(HERE / "peers" / name), "--size", size, "--precision", precision]
        return [*command, *options]

    one_compiler = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # no helpers that hold memory
    torch = lacks("torch", "numpy")
    yield Contestant("torch eager", script("one_process.py"), missing=torch)
    yield Contestant("torch compile", script("one_process.py", "--compile"), 1, torch, one_compiler)
    yield Contestant("DDP", script("ddp.py", ranks=2), 2, torch)
    yield Contestant("DDP compile", script("ddp.py", "--compile", ranks=2), 2, torch, one_compiler)
    yield Contestant("FSDP2", script("fsdp.py", ranks=2), 2, torch)
    for stage in (1, 2, 3):
        command = script("zero.py", "--stage", str(stage), ranks=2)
        built = {"TORCH_EXTENSIONS_DIR": str(extensions(programs))}
        if python:  # ninja, which builds them, may lie beside it
            built["PATH"] = f"{pathlib.Path(python).parent}:{os.environ.get('PATH', '')}"
        lacking = torch or lacks("deepspeed")
        yield Contestant(f"DeepSpeed ZeRO-{stage}", command, 2, lacking, built)


def extensions(programs):
    return programs.resolve() / "torch_extensions"


def llmc(programs, size, precision):
    program = programs / "llmc"
    missing = "" if program.exists() else f"did not build, see {program}.log"
    if precision != "fp32":
        missing = "its CPU program has fp32 only"
    if not os.environ.get("LLMC"):
        missing = "LLMC is not set"
    yield Contestant("llm.c", [str(program), "--size", size], missing=missing)
