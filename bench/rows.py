#!/usr/bin/env python3
"""Where a step's time went: the rows of a trace, by kind, as shares of all ranks' time.

    rows.py TRACE       a file that bench/step --trace FILE or examples/train --trace wrote

A rank's time is from its first event to its last. What is left of it is `between`: the caller's
loop, reading data, the log.
"""

import collections
import json
import sys


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        events = [e for e in json.load(file)["traceEvents"] if e["ph"] == "X"]
    if not events:
        sys.exit(f"{sys.argv[1]} holds no events")
    spent, count, moved = (collections.Counter() for _ in range(3))
    first, last = {}, {}
    for e in events:
        kind = e["name"].split()[-1]
        spent[kind] += e["dur"]
        count[kind] += 1
        moved[kind] += e.get("args", {}).get("bytes", 0)
        rank = e["pid"]
        first[rank] = min(first.get(rank, e["ts"]), e["ts"])
        last[rank] = max(last.get(rank, 0), e["ts"] + e["dur"])
    total = sum(last[r] - first[r] for r in first)
    spent["between"] = total - sum(spent.values())
    print(f"{len(first)} ranks, {total / len(first) / 1e6:.3f} s each")
    print(f"{'row':<18}{'count':>8}{'ms a rank':>12}{'share':>9}{'copied MiB':>12}")
    for kind, us in spent.most_common():
        print(f"{kind:<18}{count[kind]:>8}{us / len(first) / 1e3:>12.1f}{us / total:>9.2%}"
              f"{moved[kind] / 2**20:>12.1f}")


if __name__ == "__main__":
    main()
