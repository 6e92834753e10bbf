"""All that goes wrong. Each fault breaks the world for a moment, and leaves it whole."""

from tests.chaos.edge_faults import EDGE_FAULTS
from tests.chaos.server_faults import SERVER_FAULTS
from tests.chaos.store_faults import STORE_FAULTS
from tests.chaos.strike import Fault

FAULTS: dict[str, Fault] = SERVER_FAULTS | STORE_FAULTS | EDGE_FAULTS
