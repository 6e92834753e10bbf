"""Shows the state of the running parts to whoever reads the metrics."""

import contextlib
import time
from collections.abc import AsyncIterator

from kosmosx_stream.billing import Billing
from kosmosx_stream.cancelling import meanwhile
from kosmosx_stream.services import Services
from kosmosx_stream.telemetry import names
from kosmosx_stream.telemetry.watches import watch_books, watch_loop, watch_readiness


@contextlib.asynccontextmanager
async def observing(services: Services) -> AsyncIterator[None]:
    """Show the services' state, and look at what has to be asked, until this is left."""
    meters = services.telemetry.meters
    if not meters.enabled:
        yield
        return
    hub, watch = services.hub, services.redis_watch
    meters.show(
        {
            names.SESSIONS_ACTIVE: lambda: hub.sessions.active,
            names.TURNS_LIVE: lambda: hub.live_turns,
            names.TURNS_WAITING: lambda: hub.waiting_turns,
            names.COMMIT_PENDING: lambda: hub.pending_writes,
            names.DRAINING: lambda: hub.draining,
            names.REDIS_UP: lambda: watch.writable,
            names.REDIS_DURABLE: lambda: watch.durable,
            names.RECONCILE_AGE: lambda: _reconcile_age_s(services.billing),
        }
    )
    async with meanwhile(
        watch_loop(meters),
        watch_books(meters, services.store.outbox),
        watch_readiness(meters, services.engine_ready, services.ready),
    ):
        yield


def _reconcile_age_s(billing: Billing | None) -> float:
    return 0.0 if billing is None else max(0.0, time.time() - billing.reconciler.succeeded_at)
