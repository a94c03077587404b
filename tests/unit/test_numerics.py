"""A setting is in force before the libraries load, goes to child processes and can be taken back."""

import json
import os
import subprocess
import sys

import pytest

from frod import numerics

ENVIRONMENT = {"processor": "A", "numerics": "portable, AVX2"}


def python(code, **environment):
    """What a fresh process prints, as JSON, with none of the variables set but those given."""
    kept = {k: v for k, v in os.environ.items() if k not in numerics.PORTABLE and k != numerics.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", f"import json, os\nfrom frod import numerics\n{code}"],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def variables(**environment):
    return python("numerics.apply(); print(json.dumps(dict(os.environ)))", **environment)


def test_portable_is_the_default_and_native_sets_nothing():
    portable, native = variables(), variables(FROD_NUMERICS="native")
    assert portable["FROD_NUMERICS"] == "portable"
    assert ({name: portable.get(name) for name in numerics.PORTABLE} == numerics.PORTABLE) == numerics.has_avx2()
    assert not set(numerics.PORTABLE) & set(native)


def test_native_leaves_the_users_own_variables():
    code = "numerics.apply('portable'); numerics.apply('native'); print(json.dumps(dict(os.environ)))"
    assert python(code, MKL_CBWR="AVX")["MKL_CBWR"] == "AVX"
    assert "OPENBLAS_CORETYPE" not in python(code)


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(ValueError, match=r"FROD_NUMERICS: 'quick' is none of portable, native"):
        numerics.apply("quick")


def test_a_command_refuses_it_in_one_line():
    command = [sys.executable, "-m", "frod", "plan"]
    done = subprocess.run(
        command, env=os.environ | {"FROD_NUMERICS": "quick"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: FROD_NUMERICS: 'quick' is none of portable, native\n")


@pytest.mark.skipif(not numerics.has_avx2(), reason="portable numerics need AVX2, which this processor has not")
def test_each_library_keeps_to_it():
    code = """
numerics.apply(); numerics.hold(1)
import numpy, torch, threadpoolctl
blas = [lib["architecture"] for lib in threadpoolctl.threadpool_info() if lib["internal_api"] == "openblas"]
on = [k for k, v in numpy._core._multiarray_umath.__cpu_features__.items() if v]
print(json.dumps([numerics.facts(), blas, "AVX512_SPR" in on or "AVX512_ICL" in on, "X86_V4" in on]))"""
    said, blas, newer, fourth = python(code)
    assert said == numerics.SAME
    assert blas and set(blas) == {"Haswell"}
    assert not newer and not fourth


def test_threads_are_torchs_and_numpys():
    code = """
numerics.apply(); import numpy; numerics.hold(2)
import threadpoolctl, torch
blas = [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["internal_api"] == "openblas"]
print(json.dumps([torch.get_num_threads(), *blas]))"""
    assert set(python(code, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")) == {2}


@pytest.mark.parametrize(
    ("recorded", "here", "reason"),
    [
        ({}, {}, None),
        ({"processor": "B"}, {}, None),
        ({"numerics": "native, AVX512"}, {}, "numerics: portable, AVX2 here, native, AVX512 recorded"),
        ({"numerics": None}, {}, "numerics: portable, AVX2 here, None recorded"),
        ({"numerics": "native, AVX2"}, {"numerics": "native, AVX2"}, None),
        (
            {"numerics": "native, AVX2", "processor": "B"},
            {"numerics": "native, AVX2"},
            "processor: A here, B recorded",
        ),
        ({"numerics": "portable, NEON", "processor": "B"}, {"numerics": "portable, NEON"}, "processor: A here, B rec"),
    ],
)
def test_when_the_digits_have_to_be_the_same(recorded, here, reason):
    found = numerics.differing(ENVIRONMENT | recorded, ENVIRONMENT | here)
    assert found == reason if reason is None else reason in found


def test_old_records_were_made_natively():
    assert numerics.setting_of({"processor": "A"}) == "native"
    assert numerics.setting_of({"numerics": "portable, AVX2"}) == "portable"
