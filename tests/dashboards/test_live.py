"""Every panel shows something of a real server under load, by way of a real Prometheus."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.dashboards.expressions import RULES, board_expressions, filled
from tests.dashboards.prometheus import Prometheus, scraping
from tests.kosmosx_stream.clients import MODEL, client, message, picture_url, socket
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow

EMPTY = {
    "vLLM": "another engine runs",
    "a day before": "there is no yesterday",
    "Failed HTTP requests": "none failed",
    "too fast for the plan": "nobody was: the operator's own keys have no limits",
}
"""What has nothing to show here, and why."""


def empty_because(place: str) -> str | None:
    return next((why for part, why in EMPTY.items() if part in place), None)


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, slow_process: ServerProcess
) -> Iterator[Prometheus]:
    """It has seen what a server goes through: answers, refusals, a spent budget, and a kill."""
    with scraping(tmp_path_factory.mktemp("prometheus"), slow_process) as found:
        slow_process.ensure_running()
        found.wait_for("kosmosx_ready == 1")
        use(slow_process)
        lose(slow_process)
        found.wait_for("kosmosx_ready == 1 and changes(process_start_time_seconds[5m]) > 0")
        found.wait_for('kosmosx_adoptions_total{outcome="continued"} > 0')
        found.wait_for("count_over_time(kosmosx_build_info[1m]) > 5")
        use(slow_process)
        found.wait_for("rate(kosmosx_tokens_total[1m]) > 0")
        found.wait_for('rate(kosmosx_refusals_total{code="insufficient_quota"}[1m])')
        yield found


def use(server: ServerProcess) -> None:
    """Ask, be refused, and spend a budget."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: answer(server), range(8)))
    official = client(server)
    with pytest.raises(openai.NotFoundError):
        official.responses.create(model="another", input="Hello!")
    spender = client(server, server.create_key())
    spender.put("/budget", cast_to=object, body={"limit_usd": "0.00", "hard": True})
    with pytest.raises(openai.RateLimitError):
        spender.responses.create(model=MODEL, input="Hello!")


def answer(server: ServerProcess) -> None:
    with socket(client(server)) as ws:
        ws.say(input=[message("And this?", picture_url())], max_output_tokens=16)


def lose(server: ServerProcess) -> None:
    """Kill the server in the middle of an answer."""
    stream = client(server).responses.create(
        model=MODEL, input="Hello!", stream=True, max_output_tokens=200
    )
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    server.kill()
    server.start()


def test_every_panel_shows_something(prometheus: Prometheus) -> None:
    for place, expression in board_expressions():
        shown = prometheus.ask(filled(expression))
        if empty_because(place):
            assert not shown, f"{place} is not empty any more"
        else:
            assert shown, f"{place}: {expression}"


def test_what_is_recorded_is_there(prometheus: Prometheus) -> None:
    for rule in RULES:
        if "record" in rule:
            assert prometheus.ask(rule["record"]), rule["record"]


def test_nothing_rings_without_a_reason(prometheus: Prometheus) -> None:
    assert prometheus.ask('ALERTS{severity="critical"}') == []
