#!/usr/bin/env python3
# test
"""counters.py on what ncu prints: launches of a kernel are one row, weighed by their time."""

import pathlib
import subprocess
import sys
import tempfile

COUNTERS = pathlib.Path(__file__).with_name("counters.py")
DRAM = "dram__throughput.avg.pct_of_peak_sustained_elapsed"
TENSOR = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed"
NORM = ("void tessera::cuda::detail::run<128, tessera::detail::Rows<tessera::kernel::LayerNorm"
        "<float, tessera::bf16>>>(T2)")
SEEN = f"""==PROF== Connected to process 7
{{"size": "gpt2-124m"}}
"ID","Kernel Name","{DRAM}","gpu__time_duration.sum","{TENSOR}"
"","","%","us","%"
"0","{NORM}","80","1,000.00","0"
"1","nvjet_sm90_tst_128x256","30","5,000","70.5"
"2","{NORM}","20","2,000","0"
"3","void cub::Small<(int)1>(T1)","1","1","n/a"
==PROF== Disconnected
"""


def run(text, *more):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "seen.csv")
        path.write_text(text)
        return subprocess.run([sys.executable, COUNTERS, path, *more], capture_output=True,
                              text=True)


def main():
    table = run(SEEN, "2").stdout.splitlines()
    cells = [line.split() for line in table]
    assert cells[0] == "kernel launches ms of all DRAM SM tensor FMA".split(), table
    assert cells[1] == "nvjet_sm90_tst_128x256 1 5.000 62.5% 30.0% n/a 70.5% n/a".split(), table
    assert cells[2] == "LayerNorm 2 3.000 37.5% 40.0% n/a 0.0% n/a".split(), table
    assert len(cells) == 3, table
    assert "Small<" in run(SEEN).stdout
    refused = run("==ERROR== ERR_NVGPUCTRPERM\n")
    assert refused.returncode == 1 and "has no kernels" in refused.stderr, refused
    print("passed: kernels by time, shares weighed by it")


main()
