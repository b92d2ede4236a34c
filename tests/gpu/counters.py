#!/usr/bin/env python3
"""The heaviest kernels that ncu has seen, as a table.

    counters.py --options      how ncu is to be called
    counters.py FILE [N]       the N (5) kernels that took most time of FILE, ncu's output

Launches of one name are one row. Shares are of what the GPU can sustain, each launch weighed by
its time.
"""

import collections
import csv
import re
import sys

TIME = "gpu__time_duration.sum"
SHARES = {
    "DRAM": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "SM": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "tensor": "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "FMA": "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_elapsed",
}
MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3,
                "s": 1e6, "second": 1e6}


def number(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None  # n/a: this GPU has no such counter


def short(name):
    """What a kernel is called by: ours by the body that it runs, without namespaces and types."""
    body = re.search(r"\b(?:Rows|Each)<([^<>(]*)", name)
    return re.sub(r"\b(?:\w+::)+|^void ", "", body[1] if body else name.split("(")[0])[:44]


def kernels(path):
    """{name: [launches, microseconds, {share: microseconds * percent}]}"""
    with open(path, newline="") as file:
        lines = [line for line in file if line.startswith('"')]  # ncu and the program speak, too
    rows = list(csv.DictReader(lines))
    if len(rows) < 2 or TIME not in rows[0]:
        sys.exit(f"counters.py: {path} has no kernels with {TIME}")
    unit = MICROSECONDS.get(rows[0][TIME])  # the first row has the units
    if not unit:
        sys.exit(f"counters.py: {path} gives times in {rows[0][TIME]!r}, which is not known")
    found = collections.defaultdict(lambda: [0, 0.0, {}])
    for row in rows[1:]:
        kernel = found[short(row["Kernel Name"])]
        spent = number(row[TIME]) * unit
        kernel[0] += 1
        kernel[1] += spent
        for share, metric in SHARES.items():
            percent = number(row.get(metric) or "")
            if percent is not None:
                kernel[2][share] = kernel[2].get(share, 0) + spent * percent
    return found


def main():
    if sys.argv[1:] == ["--options"]:
        print("--csv --page raw --print-kernel-base demangled --metrics",
              ",".join([TIME, *SHARES.values()]))
        return
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    found = kernels(sys.argv[1])
    total = sum(spent for _, spent, _ in found.values())
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"{'kernel':<44} {'launches':>8} {'ms':>9} {'of all':>7}"
          + "".join(f"{share:>8}" for share in SHARES))
    for name, (launches, spent, shares) in sorted(found.items(), key=lambda f: -f[1][1])[:most]:
        cells = (f"{shares[s] / spent:.1f}%" if s in shares else "n/a" for s in SHARES)
        print(f"{name:<44} {launches:>8} {spent / 1e3:>9.3f} {spent / total:>7.1%}"
              + "".join(f"{cell:>8}" for cell in cells))


if __name__ == "__main__":
    main()
