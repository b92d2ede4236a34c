"""What tests/run.sh says at the end, from the logs of ninja and meson.

    summary.py stale LOG BUILD     removes the programs whose last build failed
    summary.py report LOG BUILD    prints the slowest and the failed; last line `N passed, M failed`
"""

import json
import os
import pathlib
import re
import sys


def failed_targets(log):
    """Programs that ninja could not make: tests/core-shape, from the object or link that failed."""
    failed = []
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("FAILED: "):
            output = line.removeprefix("FAILED: ").split()[0]
            failed.append(re.sub(r"\.p/.*", "", output))
    return sorted(set(failed))


def stale(log, build):
    for target in failed_targets(log):
        if (build / target).is_file():
            (build / target).unlink()


def compile_seconds(build):
    log = build / ".ninja_log"
    if not log.exists():
        return []
    rows = [line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#")]
    last = {row[3]: (int(row[1]) - int(row[0])) / 1000 for row in rows if len(row) == 5}
    return [(seconds, "build " + re.sub(r"\.p/.*", "", name))
            for name, seconds in last.items() if name.endswith(".o")]


def report(log, build):
    tests = []
    results = build / "meson-logs" / "testlog.json"
    if results.exists():
        tests = [json.loads(line) for line in results.read_text().splitlines()]
    passed = [t["name"] for t in tests if t["result"] == "OK"]
    skipped = [t["name"] for t in tests if t["result"] == "SKIP"]
    failed = [f'{t["name"]} ({t["result"].lower()})' for t in tests
              if t["result"] not in ("OK", "SKIP")]

    # A program that is a test fails as one; anything else that did not build is counted by itself.
    tried = {pathlib.Path(word).name for t in tests for word in t["command"]}
    failed += [f"{target} (does not build)" for target in failed_targets(log)
               if pathlib.Path(target).name not in tried]
    if os.environ.get("CI") == "true":
        failed += [f"{name} (could not run here)" for name in skipped]
        skipped = []
    if not tests:
        failed.append("no test ran")

    print("\nslowest:")
    times = [(t["duration"], t["name"]) for t in tests] + compile_seconds(build)
    for seconds, name in sorted(times, reverse=True)[:10]:
        print(f"{seconds:8.1f} s  {name}")
    for title, names in (("could not run here, not counted", skipped), ("failed", failed)):
        if names:
            print(f"\n{title}:")
            for name in names:
                print(f"  {name}")
    print(f"\n{len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    do = {"stale": stale, "report": report}[sys.argv[1]]
    sys.exit(do(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])))
