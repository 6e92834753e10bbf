"""What workers are told of the settings."""

from kosmosx_stream.settings import Settings
from kosmosx_stream.workers.host import metrics_address, metrics_settings


def test_each_worker_has_a_port_for_its_metrics() -> None:
    settings = Settings(metrics_address="[::1]:9464")
    assert metrics_settings(settings, 0) == {"KOSMOSX_METRICS_ADDRESS": "[::1]:9464"}
    assert metrics_settings(settings, 3) == {"KOSMOSX_METRICS_ADDRESS": "[::1]:9467"}


def test_the_common_port_has_none() -> None:
    assert metrics_settings(Settings(), 0) == {"KOSMOSX_METRICS": "false"}


def test_the_host_has_the_port_after_theirs_for_the_engine_s() -> None:
    assert metrics_address("[::1]:9464", 4) == "[::1]:9468"
    assert metrics_address("127.0.0.1:0", 4) == "127.0.0.1:0"
