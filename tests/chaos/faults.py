"""What goes wrong. Each fault breaks the world for a moment, and leaves it whole."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable

from tests.chaos.saboteur import POINTS
from tests.chaos.world import LEASE_TTL_S, Node, World

Fault = Callable[[World, random.Random], Awaitable[None]]


def _node(world: World, rng: random.Random) -> Node:
    return rng.choice(world.nodes)


async def kill_server(world: World, rng: random.Random) -> None:
    """SIGKILL at a random moment."""
    node = _node(world, rng)
    await asyncio.to_thread(node.server.kill)
    await node.restart()


def kill_at(point: str) -> Fault:
    """SIGKILL when the server reaches a named point."""

    async def fault(world: World, rng: random.Random) -> None:
        node = _node(world, rng)
        await asyncio.to_thread(node.server.stop)
        times = rng.randint(1, 60 if point in {"to-commit", "committed"} else 3)
        with contextlib.suppress(RuntimeError):  # Readers wait for it: it may die while it starts.
            await node.restart(CHAOS_KILL_AT=f"{point}:{times}")
            await node.gone()
        await asyncio.to_thread(node.server.kill)  # The point may not be reached so often.
        await node.restart()

    return fault


async def freeze_server(world: World, rng: random.Random) -> None:
    """SIGSTOP until others have taken over; then a zombie wakes up."""
    node = _node(world, rng)
    node.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE_TTL_S * rng.uniform(0.3, 2.5))
    node.signal(signal.SIGCONT)


async def drain_server(world: World, rng: random.Random) -> None:
    """SIGTERM, as in a rolling restart."""
    node = _node(world, rng)
    await asyncio.to_thread(node.server.stop)
    await node.restart()


async def kill_valkey(world: World, _rng: random.Random) -> None:
    """SIGKILL of the log's store."""
    await asyncio.to_thread(world.valkey.kill)
    await asyncio.to_thread(world.valkey.start)


async def freeze_valkey(world: World, rng: random.Random) -> None:
    """The store stops answering for a while."""
    world.valkey.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(0.1, 1.5))
    world.valkey.send(signal.SIGCONT)


async def reset_valkey_edge(world: World, rng: random.Random) -> None:
    """Every connection between a server and the store is cut."""
    _node(world, rng).to_valkey.reset()


async def lose_valkey_replies(world: World, rng: random.Random) -> None:
    """Writes arrive, their replies do not."""
    edge = _node(world, rng).to_valkey
    edge.drop_replies()
    await asyncio.sleep(rng.uniform(0.05, 0.5))
    edge.heal()


async def partition(world: World, rng: random.Random) -> None:
    """A server and the store do not hear each other, for longer than a lease lasts or shorter."""
    edge = _node(world, rng).to_valkey
    edge.black_hole()
    await asyncio.sleep(LEASE_TTL_S * rng.uniform(0.3, 2.5))
    edge.heal()


async def reset_clients(world: World, rng: random.Random) -> None:
    """Every connection between clients and a server is cut."""
    _node(world, rng).front.reset()


async def stall_clients(world: World, rng: random.Random) -> None:
    """Nothing gets through between clients and a server for a while."""
    front = _node(world, rng).front
    front.black_hole()
    await asyncio.sleep(rng.uniform(0.2, 2.0))
    front.heal()


FAULTS: dict[str, Fault] = {
    "kill -9 server": kill_server,
    **{f"kill -9 server, {point}": kill_at(point) for point in POINTS},
    "freeze server": freeze_server,
    "drain server": drain_server,
    "kill -9 store": kill_valkey,
    "freeze store": freeze_valkey,
    "cut server from store": reset_valkey_edge,
    "lose store's replies": lose_valkey_replies,
    "partition server from store": partition,
    "cut clients": reset_clients,
    "stall clients": stall_clients,
}
