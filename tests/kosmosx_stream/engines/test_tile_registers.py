"""The processes that vLLM starts may use matrix tiles, where there are some."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from kosmosx_stream.engines import tile_registers

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


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="tiles, and the call that asks for them, are of Linux on x86-64",
)
def test_vllms_plugin_asks_for_the_tiles_that_there_are() -> None:
    there_are = " amx_tile " in f"{Path('/proc/cpuinfo').read_text()} "
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split()[-2:] == ["False", str(there_are)]


@pytest.mark.parametrize("other", [("Linux", "aarch64"), ("Darwin", "x86_64")])
def test_elsewhere_the_system_is_not_called(
    other: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of the call means another one there."""
    system, machine = other
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: pytest.fail("it was called"))
    tile_registers.request()
