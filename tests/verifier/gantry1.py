"""Computes the gantry1 fingerprint of a raw disk from docs/fingerprint.md alone: gantry1.py DISK [SIZE]."""
import os
import sys

from blake3 import blake3

LEAF, LEVELS, ZERO = 65536, 48, bytes(32)
KEY_LEAF = blake3(b"gantry1 leaf").digest()
KEY_NODE = blake3(b"gantry1 node").digest()


def leaf(data):
    data = data.ljust(LEAF, b"\0")
    return blake3(data, key=KEY_LEAF).digest() if data.strip(b"\0") else ZERO


def node(level, left, right):
    if left == ZERO and right == ZERO:
        return ZERO
    return blake3(bytes([level]) + left + right, key=KEY_NODE).digest()


def fingerprint(path, size):
    row = {}
    with open(path, "rb") as disk:
        for index in range(-(-size // LEAF)):
            disk.seek(index * LEAF)
            hashed = leaf(disk.read(min(LEAF, size - index * LEAF)))
            if hashed != ZERO:
                row[index] = hashed
    for level in range(1, LEVELS + 1):
        parents = {index // 2 for index in row}
        row = {at: node(level, row.get(2 * at, ZERO), row.get(2 * at + 1, ZERO)) for at in parents}
    return f"gantry1:{size}:{row.get(0, ZERO).hex()}"


if __name__ == "__main__":
    disk = sys.argv[1]
    print(fingerprint(disk, int(sys.argv[2]) if len(sys.argv) > 2 else os.stat(disk).st_size))
