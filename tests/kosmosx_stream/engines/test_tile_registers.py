"""The processes that vLLM starts may use matrix tiles, where there are some."""

import subprocess
import sys
from pathlib import Path

SHOWN = (
    "from kosmosx_stream.engines import tile_registers\n"
    "before = tile_registers.permitted()\n"
    "from kosmosx_stream.kosmosx.plugin import register\n"
    "register()\n"
    "print(before, tile_registers.permitted())"
)


def test_vllms_plugin_asks_for_the_tiles_that_there_are() -> None:
    there_are = " amx_tile " in f"{Path('/proc/cpuinfo').read_text()} "
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split()[-2:] == ["False", str(there_are)]
