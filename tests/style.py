#!/usr/bin/env python3
# test
# timeout: 60
"""Holds the tree to its rules of form: who may include whom, how a file looks, which rules exist.

    style.py          prints every violation as file:line: what is wrong
"""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compilers import INCLUDE  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent

COLUMNS = 100
HEADER_LINES = 400
EXAMPLE_LINES = 80

# Bottom to top. A file belongs to the first stratum whose pattern its path begins with, and may
# include its own stratum and those named. The reason is what the stratum is for.
STRATA = [
    # name, paths below include/tessera/, may include, reason
    ("core", ["core/"], [], "words everyone shares"),
    ("kernels", ["kernels/"], ["core"],
     "maths over a team; a kernel knows no graph and no backend"),
    ("plan", ["plan/"], ["core"],
     "values to values; a planner sees facts and a layout, not a model"),
    ("world", ["run/world", "run/mpi", "run/one_rank", "run/counter", "run/uncaught"], ["core"],
     "what a rank stands on; backends use it, and it knows none of them"),
    ("backend", ["backend/"], ["core", "kernels", "world"],
     "gives ops teams and libraries to run on"),
    ("graph", ["graph/"], ["core"], "traced values and their rewrites; ops enter by one door"),
    ("op", ["op/"], ["core", "kernels", "backend", "graph"],
     "shape, adjoint and kernels of one op"),
    ("layer", ["layer/"], ["core", "graph", "op"], "what users compose; runs nowhere by itself"),
    ("policy", ["policy/"], ["core", "graph", "plan"], "folds numbers into a layout"),
    ("optimizer", ["optimizer/"], ["core", "kernels", "backend", "plan", "policy"],
     "state layout and one pass over a flat buffer"),
    ("device", ["device/"], ["core", "kernels", "plan", "world", "backend", "optimizer"],
     "what the engine asks of a backend, and each backend's answer"),
    ("run", ["run/"],
     ["core", "kernels", "plan", "world", "backend", "graph", "op", "optimizer", "device"],
     "one loop over a plan; it sees graphs and layouts as values, never a policy or a layer"),
    ("trainer", ["trainer.hpp"],
     ["core", "plan", "world", "backend", "graph", "policy", "optimizer", "device", "run"],
     "the thin template edge: a model and policies become values here"),
    ("contents", ["tessera.hpp"],
     ["core", "plan", "world", "backend", "graph", "op", "layer", "policy", "optimizer", "run",
      "trainer"],
     "the table of contents"),
]

# One file that may include one file more, and why.
EXCEPTIONS = {
    ("graph/describe.hpp", "plan/facts.hpp"): "a model's facts are values that the planners define",
    ("graph/model.hpp", "op/add.hpp"): "gradients of several uses of a value are added",
    ("graph/model.hpp", "op/cast.hpp"): "values are cast between the types that ops take",
}

CODE = (".hpp", ".cpp", ".cu", ".py", ".sh")
TEXT = (*CODE, ".md", ".build", ".txt")
FOLDERS = ("include", "kernels", "tests", "examples", "bench", "docs", ".ci")
TOP = ("meson.build", "meson_options.txt", "README.md")
# Built from pieces, or this file would find itself.
LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
OUR_MACHINE = re.compile(r"(?<![\w.>}/])/(?:wo" r"rk|ro" r"ot|opt/pe" r"ers)/")

RULE_BLOCK = re.compile(r"^namespace (?:[\w: ]*::)?rule \{$(.*?)^\}  // namespace", re.M | re.S)
RULE = re.compile(r"^struct (\w+)[^;{]*\{(.*?)^\};", re.M | re.S)
LISTED = re.compile(r"^(?:#+|\||[-*])\s*\**`(?:rule::)?([A-Z]\w*)", re.M)

found = []


def say(path, line, what):
    found.append(f"{path.relative_to(ROOT)}:{line}: {what}")


def files(endings, folders=FOLDERS):
    every = [p for f in folders for p in sorted((ROOT / f).rglob("*"))]
    every += [ROOT / name for name in TOP]
    link = ROOT / "include/tessera/kernels"
    apart = (ROOT / "bench/results", ROOT / "tests/golden")
    return [p for p in every if p.is_file() and p.suffix in endings
            and not any(p.is_relative_to(a) for a in (link, *apart))]


def headers():
    """Every header of the library by the name it is included by: core/shape.hpp."""
    own = {p.relative_to(ROOT / "include/tessera").as_posix(): p
           for p in files((".hpp",), ("include",))}
    return own | {p.relative_to(ROOT).as_posix(): p for p in files((".hpp",), ("kernels",))}


def stratum(name):
    return next((s for s in STRATA if any(name.startswith(p) for p in s[1])), None)


def includes_point_down():
    every = headers()
    reaches = {}
    for name, path in every.items():
        mine = stratum(name)
        if mine is None:
            say(path, 1, "belongs to no stratum; STRATA in tests/style.py names the folders")
            continue
        reaches[name] = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            at = INCLUDE.match(line)
            if not at or not at[1].startswith("tessera/"):
                if at and (path.parent / at[1]).is_file():
                    say(path, number, f"include it as <tessera/…>, not by a relative path: {at[1]}")
                continue
            other = at[1].removeprefix("tessera/")
            reaches[name].append(other)
            theirs = stratum(other)
            if theirs is None or other not in every:
                say(path, number, f"includes {at[1]}, which does not exist")
            elif theirs[0] not in (mine[0], *mine[2]) and (name, other) not in EXCEPTIONS:
                say(path, number, f"{mine[0]} may not include {theirs[0]} ({other}): {mine[3]}")
    for name, other in EXCEPTIONS:
        if other not in reaches.get(name, []):
            say(ROOT / "tests/style.py", 1, f"exception {name} -> {other} is not used; remove it")
    cycle(reaches, every)


def cycle(reaches, every):
    """#pragma once lets a circle compile, until somebody includes the other one first."""
    done, path = set(), []

    def visit(name):
        if name in path:
            circle = path[path.index(name):] + [name]
            say(every[name], 1, "includes go in a circle: " + " -> ".join(circle))
            return
        if name in done or name not in reaches:
            return
        path.append(name)
        for other in reaches[name]:
            visit(other)
        path.pop()
        done.add(name)

    for name in reaches:
        visit(name)


def files_look_alike():
    for path in files(TEXT):
        text = path.read_text()
        if text and not text.endswith("\n"):
            say(path, text.count("\n") + 1, "the last line has no end")
        for number, line in enumerate(text.splitlines(), 1):
            if path.suffix in CODE and len(line) > COLUMNS:
                say(path, number, f"{len(line)} columns; at most {COLUMNS}")
            if "\t" in line:
                say(path, number, "a tab")
            if line != line.rstrip():
                say(path, number, "white space at the end")
            if LEFTOVER.search(line):
                say(path, number, "a note to oneself; do it or say it where work is planned")
            if OUR_MACHINE.search(line):
                say(path, number, "a path of one machine")


def headers_introduce_themselves():
    for path in files((".hpp",), ("include", "kernels", "tests", "examples", "bench")):
        lines = path.read_text().splitlines()
        if not lines or not re.match(r"/// \S.{10}", lines[0]):
            say(path, 1, "the first line is `/// ` and says what the file is for")
        body = next((line for line in lines if not line.startswith("//")), "")
        if body != "#pragma once":
            say(path, 1, "#pragma once comes right after the first comment")
        if len(lines) > HEADER_LINES:
            say(path, len(lines), f"{len(lines)} lines; at most {HEADER_LINES}")
    for path in files((".cpp",), ("examples",)):
        lines = path.read_text().count("\n")
        if lines > EXAMPLE_LINES:
            say(path, lines, f"{lines} lines; an example has at most {EXAMPLE_LINES}")


def formatted():
    """By the version that .clang-format is for only: another lays out the same text differently."""
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not tool or b" 14." not in subprocess.run([tool, "--version"], capture_output=True).stdout:
        print("clang-format 14 is not here: the layout was not checked")
        return
    # Compared as text: --dry-run of this version also reports edits that change nothing.
    sources = files((".hpp", ".cpp", ".cu"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        tidy = pool.map(lambda p: subprocess.run([tool, "-style=file", str(p)], capture_output=True,
                                                 text=True).stdout, sources)
    for path, wanted in zip(sources, tidy):
        lines = zip(path.read_text().splitlines(), wanted.splitlines())
        if path.read_text() != wanted:
            first = next((n for n, (has, wants) in enumerate(lines, 1) if has != wants), 1)
            say(path, first, "not as clang-format has it; run clang-format -i")


def rules():
    """A rule is a struct in a namespace `rule` whose body asserts."""
    every = {}
    for path in headers().values():
        text = path.read_text()
        for block in RULE_BLOCK.finditer(text):
            for rule in RULE.finditer(block[1]):
                if "static_assert" in rule[2]:
                    line = text[: block.start(1) + rule.start()].count("\n") + 1
                    every[rule[1]] = (path, line)
    return every


def rules_are_told_and_tried():
    every = rules()
    page = ROOT / "docs/rules.md"
    told = set(LISTED.findall(page.read_text())) if page.exists() else set()
    if not page.exists():
        say(page, 1, "is missing; it lists every rule, its sentence and the way out")
    tried = "\n".join(line for path in files((".cpp",), ("tests",))
                      if path.parent.name == "reject"
                      for line in path.read_text().splitlines() if line.startswith("// expect"))
    for name, (path, line) in sorted(every.items()):
        if page.exists() and name not in told:
            say(path, line, f"docs/rules.md does not list the rule {name}")
        if not re.search(rf"\b{name}\b", tried):
            say(path, line, f"no file in tests/reject expects the rule {name}")
    for name in sorted(told - set(every)):
        say(page, 1, f"lists {name}, which is no rule under include/")


def main():
    for check in (includes_point_down, files_look_alike, headers_introduce_themselves, formatted,
                  rules_are_told_and_tried):
        check()
    for line in found:
        print(line)
    print(f"{len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
