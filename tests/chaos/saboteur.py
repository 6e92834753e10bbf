"""The server, with a fault built in: on order it kills itself at a named point, or its clock jumps.

An order is a JSON file, `orders.json` in the data folder, and SIGUSR1. `CHAOS_BREAK` names a rule
that is broken from the start.
"""

import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

from conversation import redis_log
from kosmosx_stream import cli
from kosmosx_stream.admission import admission
from kosmosx_stream.turns import response_log, sessions
from metering.sqlite import ledger
from metering.sqlite import sessions as booked
from tests.chaos.broken_rules import BROKEN_RULES

ORDERS = "orders.json"
TELL = signal.SIGUSR2
"""Has the server write what its threads are at into its output."""

Reach = Callable[[], None]
Wrap = Callable[[Any, Reach], Any]


def _before(original: Any, reach: Reach) -> Any:
    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        reach()
        return original(*args, **kwargs)

    return wrapped


def _after(original: Any, reach: Reach) -> Any:
    @wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        reach()
        return result

    return wrapped


POINTS: dict[str, tuple[Any, str, Wrap]] = {
    "reserved": (redis_log.RedisEventLog, "reserve", _after),
    "admitted": (admission.Admission, "admit", _after),
    "leased": (redis_log.RedisEventLog, "acquire", _after),
    "to-commit": (redis_log.RedisEventLog, "append", _before),
    "committed": (redis_log.RedisEventLog, "append", _after),
    "adopting": (sessions.Sessions, "resume", _before),
    "to-settle": (response_log.ResponseLog, "record", _before),
    "settling": (booked, "seen", _before),  # in the transaction that writes the turn
    "closing": (booked, "close", _before),  # in that of the last turn, where there is one
    "settled": (response_log.ResponseLog, "record", _after),
    "closed": (ledger.SqliteLedger, "close_session", _after),
    "released": (redis_log.RedisEventLog, "release", _after),
}


class Saboteur:
    """Waits for orders."""

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._point, self._left = "", 0
        self._clock_is_ahead_s = 0.0

    def arm(self) -> None:
        """Be ready for orders, at every point."""
        for point, (owner, name, wrap) in POINTS.items():
            setattr(owner, name, wrap(getattr(owner, name), partial(self._reach, point)))
        faulthandler.register(TELL, all_threads=True)
        clock = time.time
        time.time = lambda: clock() + self._clock_is_ahead_s
        signal.signal(signal.SIGUSR1, lambda *_: self._obey(json.loads(self._orders.read_text())))

    def _obey(self, order: Mapping[str, Any]) -> None:
        self._point, self._left = order.get("kill_at", ""), order.get("times", 0)
        self._clock_is_ahead_s = order.get("clock_is_ahead_s", 0.0)

    def _reach(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def serve(arguments: Sequence[str], output: Path, environment: Mapping[str, str]) -> None:
    """What the `kosmosx` command does, in a process that was made for it."""
    with output.open("ab") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["kosmosx", *arguments]
    if rule := os.environ.get("CHAOS_BREAK"):
        BROKEN_RULES[rule]()
    Saboteur(Path(os.environ["CHAOS_ORDERS"])).arm()
    cli.app()
