"""One run of a contestant: its steps, its memory, and what else the machine did meanwhile."""

import json
import os
import platform
import re
import resource
import signal
import subprocess
import threading
import time

from contestants import CORES


def machine_seconds():
    """(busy, stolen) CPU seconds of the whole machine since it started."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, open("/proc/stat").readline().split()[1:9]
    )
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def own_seconds():
    """CPU seconds of this process and of every child that has ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(r.ru_utime + r.ru_stime for r in both)


HELPERS = {"orted", "prted", "prterun", "hydra_pmi_proxy"}  # Open MPI gives one to a lone rank too


def leaves(root):
    """The processes below `root` without children but a helper: the ranks, not their launcher."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = open(f"/proc/{entry}/stat").read()
            except OSError:
                continue
            state, parent = text[text.rindex(")") + 2 :].split()[:2]
            name = text[text.index("(") + 1 : text.rindex(")")]
            if state != "Z" and name not in HELPERS:
                children.setdefault(int(parent), []).append(int(entry))

    def below(process):
        kids = children.get(process, [])
        return [leaf for kid in kids for leaf in below(kid)] if kids else [process]

    return below(root)


def pss(processes):
    """Proportional set size in bytes: pages that n processes share count 1/n in each."""
    total = 0
    for process in processes:
        try:
            lines = open(f"/proc/{process}/smaps_rollup").read().split("\n")
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def wait_for_quiet(share, patience=60):
    """Until others use less than `share` of the machine for a second; False: they never did."""
    for _ in range(patience):
        busy, _ = machine_seconds()
        time.sleep(1)
        if machine_seconds()[0] - busy <= share * CORES:
            return True
    return False


def stop(process):
    """Politely first: mpirun and torchrun end their ranks, which a killed launcher cannot."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                pass


def run(contestant, arguments, timeout):
    """Starts the contestant and returns what it measured, with memory and the machine's load."""
    environment = os.environ | contestant.environment
    environment.pop("OPENBLAS_CORETYPE", None)
    environment.pop("OPENBLAS_L2_SIZE", None)
    command = contestant.command + arguments
    late = threading.Event()
    begin, (busy, stolen), own = time.time(), machine_seconds(), own_seconds()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True, env=environment, start_new_session=True,
    )
    complaints = []
    reader = threading.Thread(target=lambda: complaints.extend(process.stderr), daemon=True)
    reader.start()
    clock = threading.Timer(timeout, lambda: (late.set(), stop(process)))
    clock.start()
    ended, memory, sampler = threading.Event(), [0], None

    def sample():
        while not ended.wait(0.05):
            memory[0] = max(memory[0], pss(leaves(process.pid)))

    result = {}
    try:
        for line in process.stdout:
            if not line.startswith("{") or result:
                continue
            try:
                result = json.loads(line)
            except ValueError:
                continue
            sampler = threading.Thread(target=sample)
            sampler.start()
        code = process.wait()
    finally:
        stop(process)
        ended.set()
        clock.cancel()
    if sampler:
        sampler.join()
    reader.join(timeout=1)
    wall = time.time() - begin
    if late.is_set():
        return {"failed": f"not done after {timeout:.0f} s", "command": command}
    if code != 0 or not result:
        said = [c.strip() for c in complaints if c.strip()]
        # The first exception of a rank is the cause; what its launcher says of it comes last.
        errors = [c for c in said if re.search(r"\w+(Error|Exception): ", c)] or said[::-1]
        return {"failed": f"status {code}, it said: {(errors or ['nothing'])[0][:160]}",
                "stderr": said[-200:], "command": command}
    others = machine_seconds()[0] - busy - (own_seconds() - own)
    return result | {
        "pss_bytes": result.get("pss_bytes") or memory[0],
        "foreign": round(max(0.0, others) / (wall * CORES), 4),
        "stolen": round((machine_seconds()[1] - stolen) / (wall * CORES), 4),
        "wall_seconds": round(wall, 2),
        "command": command,
    }
