"""A training forked from the warm process, which holds all that stages import, has the bytes of one that is not."""

import json
import re
import sys

import pandas as pd
import pytest

BOTH = """\
import os, subprocess, sys, tempfile
from frod.pipeline.warm import start
assert start.start(jobs=9)
usual = os.environ | start.ONE_THREAD | dict.fromkeys(start.TEMPORARY, tempfile.gettempdir())
for how, more in (("warm", {}), ("cold", {"FROD_WARM": "off"})):
    with open(f"{how}.log", "w") as log:
        command = ["python", "-m", "frod", *sys.argv[1:], "--out", how]
        job = subprocess.Popen(command, env=usual | more, stdout=log, stderr=log)
        status, used = os.wait4(job.pid, 0)[1:]
    print(how, status, used.ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="warm processes are for Linux")
def test_the_same_bytes(finished):
    folder = finished.path("results/tiny/digits/digit_vit/frod/seed-0")
    arguments = finished.training(folder)
    said = finished.run(sys.executable, "-c", BOTH, "train", *arguments, CUDA_VISIBLE_DEVICES="").stdout
    (_, ended, megabytes), (_, also, more) = (line.split() for line in said.splitlines())
    assert (ended, also) == ("0", "0"), finished.path("warm.log").read_text()
    assert int(megabytes) < 100 < int(more)  # the job itself imports nothing
    warm, cold = finished.path("warm"), finished.path("cold")
    for name in ("adapter.safetensors", "predictions.parquet"):
        assert (warm / name).read_bytes() == (cold / name).read_bytes() == (folder / name).read_bytes()
    timed = ["seconds", "step_seconds", "rss_bytes", "cpu_percent"]
    histories = [pd.read_parquet(one / "history.parquet").drop(columns=timed) for one in (warm, cold)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    records = [json.loads((one / "record.json").read_text()) for one in (warm, cold)]
    assert records[0]["environment"] == records[1]["environment"]
    logs = [re.sub("about .* s left", "", finished.path(f"{how}.log").read_text()) for how in ("warm", "cold")]
    assert logs[0] == logs[1] and "step" in logs[0]
