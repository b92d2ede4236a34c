#!/usr/bin/env python3
# test
# beside
# timeout: 900
# args: --build @build@
"""Attention by cuDNN beside what NVIDIA ships: nvcc compiles a whole trainer with it for sm_90a,
warnings as errors, and links it; cuDNN's own frontend accepts every kind of graph, and cuDNN has an
engine for it, in the workspace that a plan counts, on three GPUs that it is told of.

    cudnn.py --build DIR

The frontend is looked for in TESSERA_CUDNN_FRONTEND, in the toolkit and in the system, and else
downloaded by pip into DIR, 12 MB. cuDNN itself is looked for in TESSERA_CUDNN_ROOT and beside nvcc.
Where either is missing the trainer is compiled against the double's header alone, and the last line
says so.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
import compilers  # noqa: E402

VERSION = "1.32.0"


def first_with(folders, name):
    return next((pathlib.Path(f) for f in folders if f and (pathlib.Path(f) / name).exists()), None)


def downloaded(folder):
    """The frontend's headers by pip, or None."""
    if not (folder / "include/cudnn_frontend.h").exists():
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1",
                 "--timeout", "20", "--dest", str(folder), f"nvidia-cudnn-frontend=={VERSION}"]
        done = subprocess.run(words, capture_output=True, text=True)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            return None
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(folder, [n for n in wheel.namelist() if n.startswith("include/")])
    return folder / "include"


def run(words, **how):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how)
    if done.returncode:
        print(compilers.first_errors(done.stdout, 30) or done.stdout)
        print("FAILED:", " ".join(map(str, words)))
        sys.exit(1)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    build = parser.parse_args().build
    compilers.need("nvcc")
    work = build / "checks" / "cudnn"
    work.mkdir(parents=True, exist_ok=True)

    toolkit = pathlib.Path(compilers.find("nvcc")).resolve().parent.parent
    root = os.environ.get("TESSERA_CUDNN_ROOT") or toolkit
    cudnn = first_with([f"{root}/include", "/usr/include", "/usr/include/x86_64-linux-gnu"],
                       "cudnn.h")
    library = first_with([f"{root}/lib64", f"{root}/lib", "/usr/lib/x86_64-linux-gnu"],
                         "libcudnn.so.9")
    frontend = first_with([os.environ.get("TESSERA_CUDNN_FRONTEND"), f"{toolkit}/include",
                           "/usr/include"], "cudnn_frontend.h") or downloaded(work)

    def compiled(source, out, more):
        words = compilers.command("nvcc", source, out, architectures=("90a",))
        return [*words, "-DTESSERA_CUDA", "-DTESSERA_CUDNN", *more]

    program = HERE / "cudnn.cu"
    if not (frontend and cudnn and library):
        (work / "cudnn_frontend.h").write_text("#include <cuda_double/cudnn.hpp>\n")
        run(compiled(HERE / "program.cu", work / "program.o",
                     [f"-I{work}", f"-I{compilers.ROOT}/tests/cuda_double"]))
        missing = [word for word, there in (("its frontend", frontend), ("cudnn.h", cudnn),
                                            ("libcudnn.so.9", library)) if not there]
        print(f"passed against the double's header alone, as there is no {', no '.join(missing)}")
        return

    there = ["-isystem", str(frontend), "-isystem", str(cudnn)]
    mpi = run(["mpicxx", "--showme:link"]).split()
    link = [f"-L{library}", "-l:libcudnn.so.9", "-lnvrtc", "-lcublasLt", "-lnccl", "-ldnnl", "-ldl",
            "-Xcompiler", "-fopenmp", *[w for w in mpi if w.startswith(("-L", "-l"))]]
    words = compiled(program, work / program.stem, [*there, *link])
    words.remove("-c")
    complaint = compilers.run_cached(build, words, program,
                                     lambda status, said: said if status else "")
    if complaint:
        sys.exit(f"{compilers.first_errors(complaint, 30)}\nFAILED: {' '.join(words)}")
    if not (work / program.stem).exists():
        run(words)
    # Without a driver cuDNN still wants its library, of which the toolkit has an empty one.
    stub = toolkit / "lib64/stubs/libcuda.so"
    if "libcuda.so.1" not in run(["/sbin/ldconfig", "-p"]) and not (work / "libcuda.so.1").exists():
        (work / "libcuda.so.1").symlink_to(stub)
    found = f"{library}:{work}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    print(run([str(work / program.stem)], env=os.environ | {"LD_LIBRARY_PATH": found}).strip())
    print("passed: nvcc compiles and links a trainer with cuDNN's attention for sm_90a")


if __name__ == "__main__":
    main()
