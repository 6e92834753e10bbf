"""What befalls one of a server's workers. The server, which is their host, starts another."""

import asyncio
import signal

from tests.chaos.strike import Fault, Strike
from tests.chaos.world import World
from tests.worker_processes import until, workers


def strike_worker(how: signal.Signals) -> Fault:
    """SIGKILL at a random moment; the others go on with its answers."""

    async def fault(world: World, strike: Strike) -> None:
        node = strike.rng.choice(world.nodes)
        async with strike.on(node):
            crew = workers(node.server)
            victim = strike.rng.choice(crew)
            victim.send_signal(how)
            await asyncio.to_thread(until, lambda: victim not in workers(node.server))
            await asyncio.to_thread(until, lambda: len(workers(node.server)) == len(crew))

    return fault


WORKER_FAULTS: dict[str, Fault] = {"kill -9 worker": strike_worker(signal.SIGKILL)}
