#!/usr/bin/env python3
"""No misuse in this folder compiles, and the compiler says why in the library's words.

    run.py COMPILER --build DIR      COMPILER  gxx | clang | nvcc

A file begins with what the message must contain; accepts.cpp is the one file that must compile:

    // expect: Zero<Stage>: Stage is 0, 1, 2 or 3        on every compiler
    // expect: ZeroStage<4>                              template arguments: the numbers show
    // expect[nvcc]: calls a function                    on this compiler only (gxx, clang, nvcc)

The first `expect` belongs to the first error a user sees; the others may stand anywhere.
Compilers quote, wrap and spell constants differently, so white space, quotes and the type or suffix
of a constant ((int)4, 4L, 4u) do not count, and (bool)0 is false.
"""

import argparse
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import compilers  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
EXPECT = re.compile(r"^// expect(?:\[(\w+)\])?:\s*(.*?)\s*$", re.M)
ERROR = re.compile(r"\b(?:fatal )?error\b(?: #[\w-]+)?:|\berror: ")
INTEGER = r"(?:(?:unsigned|signed|std::|int|long|short|char|int\d+_t|size_t)\s*)+"


def spelled_out(text):
    """Adds what nvcc leaves to the reader: Rule<S, L> [with S=8L, L=2] is Rule<8L, 2>."""
    added = []
    for name, parameters, values in re.findall(r'"([\w:]+)<([^<>"]*)> \[with (.*?)\]"', text):
        given = dict(re.findall(r"(\w+)=((?:[^,<]|<[^>]*>)+)(?:, |$)", values))
        arguments = [given.get(p.strip(), p.strip()) for p in parameters.split(",")]
        added.append(f"{name}<{', '.join(arguments)}>")
    return "\n".join([text, *added])


def plain(text):
    """What is left when white space, quotes and the spelling of constants do not count."""
    text = spelled_out(text)
    text = re.sub(r"\((?:bool|_Bool)\)\s*0\b", "false", text)
    text = re.sub(r"\((?:bool|_Bool)\)\s*1\b", "true", text)
    text = re.sub(rf"\({INTEGER}\)\s*\((-\d+)\)", r"\1", text)
    text = re.sub(rf"\({INTEGER}\)\s*(?=-?\d)", "", text)
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text)
    text = re.sub(r"[\s'\"‘’“”`\\]", "", text)
    return text


def first_error(output):
    """Everything up to the second error: the first one and the notes that lead to it."""
    starts = [m.start() for m in ERROR.finditer(output)]
    return output[: starts[1]] if len(starts) > 1 else output


def judge(wanted):
    def check(status, output):
        if not wanted:
            return compilers.first_errors(output) if status else ""
        if status == 0:
            return "    it compiles"
        if not ERROR.search(output):
            return "    it fails without an error message:\n" + output[:2000]
        missing = [w for w in wanted if plain(w) not in plain(output)]
        if missing:
            said = compilers.first_errors(output, 14)
            wants = "".join(f"    not said: {m}\n" for m in missing)
            return f"{wants}    said instead:\n{said}"
        if plain(wanted[0]) not in plain(first_error(output)):
            return f"    another error comes first:\n{compilers.first_errors(output)}"
        return ""

    return check


def job(options, path):
    wanted = [text for compiler, text in EXPECT.findall(path.read_text())
              if compiler in ("", options.compiler)]
    accepts = path.name == "accepts.cpp"
    if accepts == bool(wanted):
        says = "accepts.cpp expects nothing" if accepts else "no `// expect: ...` in its lines"
        return path.name, lambda: "    " + says
    out = options.work / (path.stem + ".o")
    words = compilers.command(options.compiler, path, out)
    return path.name, lambda: compilers.run_cached(options.build, words, path, judge(wanted),
                                                   extra=pathlib.Path(__file__).read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compiler", choices=["gxx", "clang", "nvcc"])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    options = parser.parse_args()
    compilers.need(options.compiler)
    options.work = options.build / "checks" / f"reject-{options.compiler}"
    options.work.mkdir(parents=True, exist_ok=True)
    files = sorted(HERE.glob("*.cpp"))
    if not (HERE / "accepts.cpp").exists():
        sys.exit("accepts.cpp is missing: without it, a library that is broken rejects everything")
    compilers.report(f"rejected by {options.compiler}", [job(options, path) for path in files])


if __name__ == "__main__":
    main()
