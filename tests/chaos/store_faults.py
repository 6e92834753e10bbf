"""What befalls the store of the log, and the books."""

import asyncio
import signal

from tests.chaos.strike import Fault, Strike
from tests.chaos.world import World

FULL = "1mb"
"""Less than an empty store takes."""


async def kill_store(world: World, strike: Strike) -> None:
    """SIGKILL."""
    async with strike.on(world.store):
        await _kill(world)


async def kill_store_rewriting(world: World, strike: Strike) -> None:
    """SIGKILL while it writes its file anew."""
    async with strike.on(world.store):
        await asyncio.to_thread(world.store.rewrite)
        await asyncio.sleep(strike.rng.uniform(0, 0.05))
        await _kill(world)


async def _kill(world: World) -> None:
    await asyncio.to_thread(world.store.valkey.kill)
    await asyncio.to_thread(world.store.valkey.start)


async def freeze_store(world: World, strike: Strike) -> None:
    """It stops answering, up to longer than the servers wait for a reply."""
    async with strike.on(world.store):
        world.store.valkey.send(signal.SIGSTOP)
        await asyncio.sleep(strike.rng.choice([0.2, 1.0, 1.5, 4.0]))
        world.store.valkey.send(signal.SIGCONT)


async def slow_store(world: World, strike: Strike) -> None:
    """Its disk takes long, and so does every write."""
    async with strike.on(world.store):
        await asyncio.to_thread(world.store.slow_disk, strike.rng.choice([0.01, 0.1, 0.4]))
        await asyncio.sleep(strike.rng.uniform(0.5, 2.0))
        await asyncio.to_thread(world.store.slow_disk, 0)


async def fill_store(world: World, strike: Strike) -> None:
    """It takes nothing new."""
    async with strike.on(world.store):
        await asyncio.to_thread(world.store.configure, maxmemory=FULL)
        await asyncio.sleep(strike.rng.uniform(0.3, 2.0))
        await asyncio.to_thread(world.store.configure, maxmemory="0")


async def misconfigure_store(world: World, strike: Strike) -> None:
    """Somebody lets it evict, and write to the disk when it likes."""
    async with strike.on(world.store):
        wrong = {"maxmemory_policy": "allkeys-lru", "appendfsync": "everysec"}
        await asyncio.to_thread(world.store.configure, **wrong)
        await asyncio.sleep(strike.rng.uniform(0.3, 2.0))
        right = {"maxmemory_policy": "noeviction", "appendfsync": "always"}
        await asyncio.to_thread(world.store.configure, **right)


async def lock_books(world: World, strike: Strike) -> None:
    """The disk of the books is slow: every write waits, sometimes longer than servers do."""
    async with strike.on(world.books):
        await world.books.locked(strike.rng.choice([0.3, 1.0, 3.0]))


STORE_FAULTS: dict[str, Fault] = {
    "kill -9 store": kill_store,
    "kill -9 store, rewriting": kill_store_rewriting,
    "freeze store": freeze_store,
    "slow store": slow_store,
    "store is full": fill_store,
    "store may evict": misconfigure_store,
    "books are locked": lock_books,
}
