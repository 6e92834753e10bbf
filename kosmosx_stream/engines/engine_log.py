"""The log of vLLM's processes, and what ties them to the server that started them.

vLLM reads a `logging.config` file first of all in every process that it starts. The handler that
this file names is made here, so this is where such a process can be settled before it does
anything else. Imports neither vLLM nor torch.
"""

import json
import logging
import multiprocessing
import os
import sys
from pathlib import Path

from kosmosx_stream.parent import die_with_parent


def write_config(log: Path) -> Path:
    """Write the file that sends vLLM's records to `log`; beside it."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(process)d %(levelname)s %(message)s"}},
        "handlers": {"log": {"()": f"{__name__}.handler", "path": str(log), "formatter": "line"}},
        "loggers": {"vllm": {"handlers": ["log"], "level": "INFO", "propagate": False}},
    }
    path = log.with_suffix(".logging.json")
    path.write_text(json.dumps(config))
    return path


def handler(path: str) -> logging.Handler:
    """The handler for vLLM's records in this process, which is the server or one of vLLM's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        die_with_parent()  # The engine's process would outlive a server that was killed.
        if not parent.is_alive():  # it died before the request to die with it was heard
            os._exit(1)
        # Ctrl-C goes to the terminal's whole group; the engine ends when the drain is done.
        os.setpgid(0, 0)
        _redirect_output(path)
    return logging.FileHandler(path)


def _redirect_output(path: str) -> None:
    """Libraries below vLLM print warnings and progress; the log is the place for them."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    os.close(file)
