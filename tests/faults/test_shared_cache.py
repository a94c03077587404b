"""Many processes of several clones on one cache, some of them killed: each gets what belongs to its key, whole."""

import hashlib
import os
import random
import subprocess
import sys

# What each clone does: take an entry from the cache or make it and put it there, over and over.
CLONE = """
import hashlib, itertools, random, shutil, sys
from pathlib import Path
from frod.provenance import cache

out, keys, end, draw = Path(sys.argv[1]), sys.argv[2].split(","), Path(sys.argv[3]), random.Random(sys.argv[1])
print("here", flush=True)
for done in itertools.count():
    if done >= 40 and end.exists():
        break
    key = draw.choice(keys)
    if not cache.fetch(key, out):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for name in ("basis.safetensors", "manifest.json"):
            (out / name).write_bytes(hashlib.sha256((key + name).encode()).digest() * 20000)
        cache.store(key, out)
    for name in ("basis.safetensors", "manifest.json"):
        assert (out / name).read_bytes() == hashlib.sha256((key + name).encode()).digest() * 20000
    if draw.random() < 0.3:  # as a person who empties the cache
        shutil.rmtree(cache.location() / key[:2], ignore_errors=True)
"""
KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]


def test_clones_that_share_a_cache_and_are_killed(tmp_path):
    environment = os.environ | {"FROD_CACHE": str(tmp_path / "cache")}

    def clone(number):
        given = [str(tmp_path / f"clone-{number}/bases"), ",".join(KEYS), str(tmp_path / "end")]
        command = [sys.executable, "-c", CLONE, *given]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "here\n"
        return process

    draw = random.Random(0)
    lasting = [clone(number) for number in range(2)]
    for number in range(2, 8):
        killed = clone(number)
        try:
            killed.wait(draw.uniform(0, 0.2))
        except subprocess.TimeoutExpired:
            killed.kill()
        assert killed.wait() == -9, killed.stderr.read()  # none has found anything wrong
    (tmp_path / "end").touch()
    for process in lasting:
        said = process.communicate()[1]
        assert process.returncode == 0, said
