"""The process that was started, where there are workers: it has what they share, and keeps them.

It has the port, the Valkey and the engine, and knows nothing of turns. When it ends, so do all.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from socket import socket

import uvloop
from prometheus_client import CollectorRegistry

from kosmosx_stream import bootstrap
from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.engines import factory
from kosmosx_stream.engines.engine_host import EngineHost
from kosmosx_stream.server import farewell
from kosmosx_stream.settings import Settings
from kosmosx_stream.telemetry.sending import served
from kosmosx_stream.telemetry.vllm_families import VllmFamilies
from kosmosx_stream.workers.crew import Crew
from kosmosx_stream.workers.door import Door
from kosmosx_stream.workers.worker import Worker

logger = logging.getLogger(__name__)

LATECOMERS_S = 5.0
"""At the start, so long after the first worker is ready connections wait for the others."""

Progress = Callable[[str], None]


def run(
    settings: Settings, listener: socket, *, progress: Progress, on_ready: Callable[[], None]
) -> str | None:
    """Serve by `settings.workers` processes until SIGTERM; returns what went wrong, if anything."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Host(settings, listener, progress, on_ready).serve())


class Host:
    """Runs once."""

    def __init__(
        self,
        settings: Settings,
        listener: socket,
        progress: Progress,
        on_ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._progress = progress
        # vLLM servers elsewhere are reached from each worker.
        self._engines = None if settings.engine == "remote" else EngineHost()
        self._environment = dict(os.environ)
        self._crew = Crew(
            settings.workers, self._start_worker, on_ready=on_ready, on_failure=self._end
        )
        self._waited = False
        self._door = Door(listener, lambda: self._crew.workers)
        self._over: asyncio.Future[str | None]

    async def serve(self) -> str | None:
        """Until a signal comes; the workers end first, then the engine, then the store."""
        self._over = asyncio.get_running_loop().create_future()
        self._heed_signals()
        async with bootstrap.redis_url(self._settings) as url:
            self._environment |= worker_settings(self._settings, url)
            self._progress("memory and log are up")
            with self._metrics():
                async with (
                    self._engine(),
                    self._crew.running(drain_s=self._settings.drain_timeout_s),
                ):
                    reason = await self._over
                    if reason is None:
                        self._progress(farewell(self._settings))
                    return reason

    def _metrics(self) -> contextlib.AbstractContextManager[None]:
        """Those of vLLM, which are in this process: on the port after the workers'."""
        if not (self._engines and self._settings.metrics and self._settings.metrics_address):
            return contextlib.nullcontext()
        address = metrics_address(self._settings.metrics_address, self._settings.workers)
        registry = CollectorRegistry()
        registry.register(VllmFamilies())
        return served(registry, address)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, None)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def _interrupt(self) -> None:
        """Ctrl-C; the second time it is in a hurry."""
        if self._over.done():
            self._crew.send(signal.SIGINT)
        self._end(None)

    def _end(self, reason: str | None) -> None:
        if not self._over.done():
            self._over.set_result(reason)

    @contextlib.asynccontextmanager
    async def _engine(self) -> AsyncIterator[None]:
        """Load it while the workers start."""
        self._progress(factory.announcement(self._settings))
        if self._engines is None:
            yield
            return
        async with meanwhile(self._run_engine(self._engines)):
            yield

    async def _run_engine(self, engines: EngineHost) -> None:
        try:
            async with factory.running(self._settings) as engine, engines.offering(engine):
                await asyncio.Event().wait()
        except Exception as error:
            logger.exception("the model failed")
            self._end(factory.complaint(self._settings, error))

    async def _start_worker(self, place: int) -> Worker:
        environment = self._environment | metrics_settings(self._settings, place)
        return await Worker.start(environment, self._engines, self._heard)

    def _heard(self) -> None:
        """A worker has reported."""
        self._crew.heard()
        if self._crew.assembling and not self._waited:
            # All clients of before come back at once: the first who is ready would get them all.
            self._door.shut()
            asyncio.get_running_loop().call_later(LATECOMERS_S, self._wait_no_longer)
        else:
            self._door.open()

    def _wait_no_longer(self) -> None:
        self._waited = True
        self._door.open()


def worker_settings(settings: Settings, redis_url: str) -> dict[str, str]:
    """What the command line or the host has decided, as the environment says it."""
    fallback = settings.fallback_model
    return {
        **({"KOSMOSX_FALLBACK_MODEL": str(fallback)} if fallback is not None else {}),
        "KOSMOSX_HOST": settings.host,
        "KOSMOSX_PORT": str(settings.port),
        "KOSMOSX_DATA_DIR": str(settings.data_dir.absolute()),
        "KOSMOSX_MODEL": str(settings.model),
        "REDIS_URL": redis_url,
    }


def metrics_settings(settings: Settings, place: int) -> dict[str, str]:
    """Each worker has metrics of its own: on a port of its own, or else nowhere."""
    if settings.metrics_address is None:
        return {"KOSMOSX_METRICS": "false"}
    return {"KOSMOSX_METRICS_ADDRESS": metrics_address(settings.metrics_address, place)}


def metrics_address(first: str, place: int) -> str:
    """Where the process at this place, from 0 on, serves its metrics."""
    host, _, port = first.rpartition(":")
    return f"{host}:{int(port) + place if int(port) else 0}"
