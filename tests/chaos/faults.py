"""All that goes wrong. Each fault breaks the world for a moment, and leaves it whole."""

from tests.chaos.edge_faults import EDGE_FAULTS
from tests.chaos.engine_faults import ENGINE_FAULTS
from tests.chaos.server_faults import SERVER_FAULTS
from tests.chaos.store_faults import STORE_FAULTS
from tests.chaos.strike import Fault
from tests.chaos.worker_faults import WORKER_FAULTS

FAULTS: dict[str, Fault] = SERVER_FAULTS | STORE_FAULTS | EDGE_FAULTS

VLLM_FAULTS: dict[str, Fault] = ENGINE_FAULTS | {
    name: FAULTS[name]
    for name in (
        "kill -9 server",
        "kill -9 server, committed",
        "freeze server",
        "drain server",
        "kill -9 store",
        "partition, server to store",
        "cut, clients to server",
    )
}
"""Those that a real engine is struck by; it takes its time to start."""

CREW_FAULTS: dict[str, Fault] = WORKER_FAULTS | {
    name: FAULTS[name]
    for name in (
        "kill -9 server",
        "freeze server",
        "drain server",
        "kill -9 store",
        "partition, server to store",
        "cut, clients to server",
    )
}
"""Those that servers with several workers are struck by: the named points are inside of one."""
