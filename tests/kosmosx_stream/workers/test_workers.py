"""A server with two workers is one server: whoever of them answers, is killed, or comes later."""

import itertools
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from kosmosx_stream.cli import app
from metering.prices import default_price_book
from tests.kosmosx_stream.clients import MODEL, client, text_of
from tests.server_process import ServerProcess, stopped
from tests.worker_processes import clients_of, family, lives, until, workers


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from stopped(
        tmp_path_factory.mktemp("workers"),
        KOSMOSX_WORKERS="2",
        KOSMOSX_ENGINE="deterministic",
        KOSMOSX_DETERMINISTIC_RATE="40",
        KOSMOSX_DETERMINISTIC_LENGTH="1000000",
        KOSMOSX_SWEEP_INTERVAL_S="0.2",
    )


@pytest.fixture
def server(process: ServerProcess) -> ServerProcess:
    process.ensure_running()
    return process


def test_connections_are_shared_evenly(server: ServerProcess) -> None:
    """While both are well: one that was silent for a while gets none."""
    until(lambda: min(_taken(server, 12)) >= 5)  # A client of before may just have left.


def _taken(server: ServerProcess, count: int) -> list[int]:
    """How many of so many new connections each worker takes."""
    with ExitStack() as stack:
        ours = set()
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            stack.enter_context(connection)
            ours.add(connection.getsockname()[1])

        def taken() -> list[int]:
            return [len(clients_of(worker, server) & ours) for worker in workers(server)]

        until(lambda: sum(taken()) == count)
        return taken()


def test_an_answer_goes_on_when_its_worker_is_killed(server: ServerProcess) -> None:
    openai_client = client(server)
    asked: dict[str, Any] = {"model": MODEL, "input": "Say something.", "max_output_tokens": 40}
    undisturbed = openai_client.responses.create(**asked)
    with openai_client.responses.create(**asked, stream=True) as stream:
        seen = list(itertools.islice(stream, 8))
        killed = _owner(server)
        killed.send_signal(signal.SIGKILL)
    response_id, after = seen[0].response.id, seen[-1].sequence_number
    with openai_client.responses.retrieve(response_id, stream=True, starting_after=after) as rest:
        seen += rest
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert text_of(seen) == undisturbed.output_text
    assert seen[-1].response.usage == undisturbed.usage
    until(lambda: len(workers(server)) == 2)
    assert killed not in workers(server)


def _owner(server: ServerProcess) -> psutil.Process:
    """The worker that has connections: the client has one at a time."""
    (owner,) = (worker for worker in workers(server) if clients_of(worker, server))
    return owner


def test_a_budget_is_one_for_all_workers(server: ServerProcess) -> None:
    """Turns at the same time cannot spend the same money twice, nor lose any of it."""
    headers = {"Authorization": f"Bearer {server.key}"}
    prices = default_price_book()
    turn_usd = Decimal(prices.minimum_tokens * prices.token_micro_usd) / 10**6
    connect = partial(httpx.Client, base_url=f"{server.base_url}/v1", headers=headers, timeout=60)

    def ask(number: int) -> int:
        """A turn that costs the least there is, on a connection of its own."""
        said = {"model": MODEL, "input": f"Say {number}.", "max_output_tokens": 30}
        with connect() as api:
            return api.post("/responses", json=said).status_code

    with connect() as api, ThreadPoolExecutor(16) as pool:
        before = used_usd(api)
        limit = {"limit_usd": str(before + 5 * turn_usd), "hard": True}
        api.put("/budget", json=limit).raise_for_status()
        assert Counter(pool.map(ask, range(16))) == {200: 5, 429: 11}
        assert used_usd(api) == before + 5 * turn_usd
        assert Decimal(api.get("/budget").json()["spent_usd"]) == before + 5 * turn_usd
        api.delete("/budget").raise_for_status()


def used_usd(api: httpx.Client) -> Decimal:
    """What the ledger has."""
    rows = api.get("/usage", params={"group_by": "session_id"}).json()["data"]
    return sum((Decimal(each["cost_usd"]) for each in rows), Decimal(0))


def test_all_workers_finish_what_they_have_begun(server: ServerProcess) -> None:
    """SIGTERM: no new turns, live ones end, and nobody stays."""
    openai_client = client(server)
    asked: dict[str, Any] = {"model": MODEL, "input": "Say it.", "max_output_tokens": 40}
    everybody = family(server)
    with ThreadPoolExecutor(4) as pool:
        begun = Barrier(5)

        def read(_: int) -> list[Any]:
            with openai_client.responses.create(**asked, stream=True) as stream:
                first = next(stream)
                begun.wait(30)
                return [first, *stream]

        answers = [pool.submit(read, number) for number in range(4)]
        begun.wait(30)
        status = server.stop_while(lambda: [each.result(60) for each in answers])
    assert status == 0
    for each in answers:
        assert each.result()[-1].response.usage.output_tokens == 40
    assert not any(map(lives, everybody))


@pytest.mark.slow  # It needs another start.
def test_workers_that_go_down_are_not_held_up_by_those_who_come(server: ServerProcess) -> None:
    over, log = Event(), server.data_dir / "logs" / "server.log"
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:

        def come_and_stay() -> None:
            while not over.wait(0.05):
                with suppress(OSError):
                    stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

        coming = pool.submit(come_and_stay)
        server.stop()
        over.set()
        coming.result()
    assert "timeout graceful shutdown exceeded" not in log.read_text()


@pytest.mark.slow  # It is waited for in earnest.
def test_a_worker_that_hangs_is_replaced(server: ServerProcess) -> None:
    """What it was saying goes on at once; what it holds open ends when it is killed."""
    openai_client = client(server)
    asked: dict[str, Any] = {"model": MODEL, "input": "Say a lot.", "max_output_tokens": 40}
    undisturbed = openai_client.responses.create(**asked).output_text
    with openai_client.responses.create(**asked, stream=True) as stream:
        seen = list(itertools.islice(stream, 8))
        frozen = _owner(server)
        frozen.send_signal(signal.SIGSTOP)
        rest = openai_client.responses.retrieve(
            seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
        )
        with rest:
            seen += rest
    assert text_of(seen) == undisturbed
    until(lambda: frozen not in workers(server) and len(workers(server)) == 2)


@pytest.mark.slow  # It needs another start.
def test_nobody_outlives_the_host(server: ServerProcess) -> None:
    """`kill -9` of the process that was started."""
    everybody = family(server)
    assert len(everybody) >= 4  # The workers and the store are there.
    server.kill()
    until(lambda: not any(map(lives, everybody)))


def test_a_number_of_workers_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for number in ("0", "100"):
        done = CliRunner().invoke(app, ["serve", "--workers", number, "--data-dir", str(tmp_path)])
        assert done.exit_code == 2
        assert (
            f"KOSMOSX_WORKERS (--workers): expected whole number from 1 to 64, got '{number}'"
            in (done.output)
        )
