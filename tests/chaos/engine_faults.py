"""What befalls the process of a real engine. It is a child of its server, which starts another."""

import asyncio
import signal

import psutil

from tests.chaos.strike import Fault, Strike
from tests.chaos.world import Node, World

START_TIMEOUT_S = 300.0


def strike_engine(how: signal.Signals) -> Fault:
    """SIGKILL, or SIGSTOP: an engine that hangs is ended by its server."""

    async def fault(world: World, strike: Strike) -> None:
        node = strike.rng.choice(world.nodes)
        async with strike.on(node):
            engine = _engine(node)
            engine.send_signal(how)
            await asyncio.to_thread(engine.wait, START_TIMEOUT_S)
            await asyncio.to_thread(node.server.wait_until_ready)

    return fault


def _engine(node: Node) -> psutil.Process:
    children = psutil.Process(node.server.pid).children(recursive=True)
    (engine,) = [child for child in children if "EngineCore" in child.name()]
    return engine


ENGINE_FAULTS: dict[str, Fault] = {
    "kill -9 engine": strike_engine(signal.SIGKILL),
    "freeze engine": strike_engine(signal.SIGSTOP),
}
