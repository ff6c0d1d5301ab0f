#!/usr/bin/python3
"""Disk images from a seed, and the proof that a copy is one. A process of its own each time, so that the benchmark that
starts it stays small: what the kernel reports as a child's memory is never less than its parent had.

    images.py make vm|dense|sparse BYTES SEED FILE   writes a raw image
    images.py same SOURCE COPY [ROOT]                exit code 1 and why, unless both hold the same bytes and, with ROOT,
                                                     COPY.sha256 is the list of COPY's digests and ROOT is of that list
"""

import hashlib
import os
import pathlib
import random
import sys

MIB = 1 << 20
CHUNK = 4 * MIB
# The parts of an image that are holes and that are written zeros; the rest is random.
SHAPES = {"vm": (0.50, 0.12), "dense": (0.0, 0.0), "sparse": (0.95, 0.0)}


def layout(shape, size, rng):
    """(bytes, kind) of each extent: 64 KiB to 8 MiB long, the kinds shuffled, their shares right to one extent."""
    largest = max(0, min(7, (size >> 21).bit_length() - 1))
    lengths, left = [], size
    while left:
        lengths.append(min(left, 65536 << rng.randint(0, largest)))
        left -= lengths[-1]
    order = list(range(len(lengths)))
    rng.shuffle(order)
    holes, zeros = (share * size for share in SHAPES[shape])
    kinds, seen = [""] * len(lengths), 0
    for n in order:
        kinds[n] = "hole" if seen < holes else "zero" if seen < holes + zeros else "data"
        seen += lengths[n]
    return zip(lengths, kinds)


def make(shape, size, seed, path):
    rng = random.Random(seed)
    with open(path, "wb", buffering=0) as image:
        for length, kind in layout(shape, size, rng):
            if kind == "hole":
                image.seek(length, os.SEEK_CUR)
            else:
                image.write(bytes(length) if kind == "zero" else rng.randbytes(length))
        image.truncate(size)
        os.fsync(image.fileno())


def same(source, copy, root=None):
    lines = []
    with open(source, "rb", buffering=0) as a, open(copy, "rb", buffering=0) as b:
        if os.fstat(a.fileno()).st_size != os.fstat(b.fileno()).st_size:
            sys.exit(f"{copy} is not as long as {source}")
        while block := a.read(CHUNK):
            if block != b.read(CHUNK):
                sys.exit(f"{copy} differs from {source} in chunk {len(lines)}")
            lines.append(hashlib.sha256(block).hexdigest() + "\n" if root else "")
    text = "".join(lines)
    if root and text != pathlib.Path(f"{copy}.sha256").read_text():
        sys.exit(f"{copy}.sha256 is not the list of its digests")
    if root and hashlib.sha256(text.encode()).hexdigest() != root:
        sys.exit(f"{root} is not the digest of {copy}.sha256")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        same(*sys.argv[2:])
