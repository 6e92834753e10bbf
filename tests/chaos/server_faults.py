"""What befalls a server's process."""

import asyncio
import contextlib
import signal

from tests.chaos.saboteur import POINTS
from tests.chaos.strike import Fault, Strike
from tests.chaos.world import Node, World

REACHED_WITHIN_S, DISARMED_WITHIN_S = 15.0, 0.05
OFTEN_REACHED, MOST_TIMES = frozenset({"to-commit", "committed"}), 60
ADOPTED_WITHIN_S, ASKED_WITHIN_S, MOST_LOSSES = 4.0, 1.0, 4
CLOCK_JUMP_S = 5.0
"""Longer than sessions may be idle."""


def _node(world: World, strike: Strike) -> Node:
    return strike.rng.choice(world.nodes)


async def kill_server(world: World, strike: Strike) -> None:
    """SIGKILL at a random moment."""
    node = _node(world, strike)
    async with strike.on(node):
        await asyncio.to_thread(node.server.kill)
        await node.restart()


async def kill_both(world: World, strike: Strike) -> None:
    """Nobody is left to take over, for a while."""
    async with strike.on(*world.nodes):
        for node in world.nodes:
            await asyncio.to_thread(node.server.kill)
        await asyncio.gather(*(node.restart() for node in world.nodes))


def kill_at(point: str) -> Fault:
    """SIGKILL when the server reaches a named point."""

    async def fault(world: World, strike: Strike) -> None:
        node = _node(world, strike)
        times = strike.rng.randint(1, MOST_TIMES if point in OFTEN_REACHED else 3)
        async with strike.on(node):
            node.order(kill_at=point, times=times)
            await _fall(node, strike)

    return fault


async def kill_adopter(world: World, strike: Strike) -> None:
    """SIGKILL of a server while it takes over what another one, killed just before, has lost."""
    node, other = strike.rng.sample(world.nodes, 2)
    async with strike.on(node, other):
        # The order comes first: on a busy machine the lost turns may be taken over at once.
        node.order(kill_at="adopting", times=1)
        for _ in range(MOST_LOSSES):
            await asyncio.to_thread(other.server.kill)
            adopted = await node.dies_within(ADOPTED_WITHIN_S)
            await other.restart()
            if adopted:
                break
            await asyncio.sleep(ASKED_WITHIN_S)  # It answered nobody when it was killed.
        await _fall(node, strike)


async def _fall(node: Node, strike: Strike) -> None:
    """Wait until it dies at the point that was ordered, and start it again."""
    if not await node.dies_within(REACHED_WITHIN_S):
        with contextlib.suppress(ProcessLookupError):  # It died right now.
            node.order()
    if await node.dies_within(DISARMED_WITHIN_S):
        strike.begin()
        await asyncio.to_thread(node.server.kill)
        await node.restart()
    else:
        strike.missed = True


async def freeze_server(world: World, strike: Strike) -> None:
    """SIGSTOP, mostly until others have taken over; then a zombie wakes up."""
    node = _node(world, strike)
    async with strike.on(node):
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(world.lease_ttl_s * strike.rng.uniform(0.3, 2.5))
        node.signal(signal.SIGCONT)


async def drain_server(world: World, strike: Strike) -> None:
    """SIGTERM, as in a rolling restart."""
    node = _node(world, strike)
    async with strike.on(node):
        await node.drain()
        await node.restart()


async def jump_clock(world: World, strike: Strike) -> None:
    """The server's wall clock jumps, there and back."""
    node = _node(world, strike)
    async with strike.on(node):
        node.order(clock_is_ahead_s=strike.rng.choice([-1, 1]) * CLOCK_JUMP_S)
        await asyncio.sleep(strike.rng.uniform(0.2, 2.0))
        node.order()


SERVER_FAULTS: dict[str, Fault] = {
    "kill -9 server": kill_server,
    **{f"kill -9 server, {point}": kill_at(point) for point in POINTS if point != "adopting"},
    "kill -9 server, adopting": kill_adopter,
    "kill -9 both servers": kill_both,
    "freeze server": freeze_server,
    "drain server": drain_server,
    "server's clock jumps": jump_clock,
}
