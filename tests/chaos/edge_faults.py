"""What befalls the network: between a server and its store, and between clients and a server."""

import asyncio
from collections.abc import Callable

from tests.chaos.reader import SILENCE_S
from tests.chaos.strike import Fault, Strike
from tests.chaos.world import Edge, World

Choose = Callable[[World, Strike], Edge]


def to_store(world: World, strike: Strike) -> Edge:
    return strike.rng.choice(world.nodes).to_valkey


def to_clients(world: World, strike: Strike) -> Edge:
    return strike.rng.choice(world.nodes).front


def cut(choose: Choose) -> Fault:
    """Every connection is reset."""

    async def fault(world: World, strike: Strike) -> None:
        edge = choose(world, strike)
        async with strike.on(edge):
            edge.reset()

    return fault


def half_open(choose: Choose) -> Fault:
    """What is connected never hears of its other end again; it takes a while to notice."""

    async def fault(world: World, strike: Strike) -> None:
        edge = choose(world, strike)
        async with strike.on(edge):
            edge.forget()
            await asyncio.sleep(SILENCE_S)

    return fault


def partition(choose: Choose) -> Fault:
    """Nothing gets through, for longer than a lease lasts or shorter."""

    async def fault(world: World, strike: Strike) -> None:
        edge = choose(world, strike)
        async with strike.on(edge):
            edge.black_hole()
            await asyncio.sleep(world.lease_ttl_s * strike.rng.uniform(0.3, 2.5))
            edge.heal()

    return fault


def slow(choose: Choose) -> Fault:
    """Everything arrives later."""

    async def fault(world: World, strike: Strike) -> None:
        edge = choose(world, strike)
        async with strike.on(edge):
            edge.delay(strike.rng.choice([0.02, 0.1, 0.3]))
            await asyncio.sleep(strike.rng.uniform(0.5, 2.0))
            edge.heal()

    return fault


def lose_replies(choose: Choose) -> Fault:
    """What was asked arrives, the reply does not."""

    async def fault(world: World, strike: Strike) -> None:
        edge = choose(world, strike)
        async with strike.on(edge):
            edge.drop_replies()
            await asyncio.sleep(strike.rng.uniform(0.05, 0.5))
            edge.heal()

    return fault


EDGE_FAULTS: dict[str, Fault] = {
    f"{name}, {between}": kind(choose)
    for between, choose in (("server to store", to_store), ("clients to server", to_clients))
    for name, kind in (
        ("cut", cut),
        ("half-open", half_open),
        ("partition", partition),
        ("slow line", slow),
        ("lost replies", lose_replies),
    )
}
