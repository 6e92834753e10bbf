"""The processes that vLLM starts may use matrix tiles, where there are some."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

SHOWN = """
import ctypes

def permitted():
    features = ctypes.c_uint64()
    ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(features))  # ARCH_GET_XCOMP_PERM
    return bool(features.value >> 18 & 1)

before = permitted()
from kosmosx_stream.kosmosx.plugin import register
register()
print(before, permitted())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86's")
def test_vllms_plugin_asks_for_the_tiles_that_there_are() -> None:
    there_are = " amx_tile " in f"{Path('/proc/cpuinfo').read_text()} "
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split()[-2:] == ["False", str(there_are)]
