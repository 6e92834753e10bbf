"""What workers are told of the settings."""

from kosmosx_stream.settings import Settings
from kosmosx_stream.workers.host import metrics_settings


def test_each_worker_has_a_port_for_its_metrics() -> None:
    settings = Settings(metrics_address="[::1]:9464")
    assert metrics_settings(settings, 0) == {"KOSMOSX_METRICS_ADDRESS": "[::1]:9464"}
    assert metrics_settings(settings, 3) == {"KOSMOSX_METRICS_ADDRESS": "[::1]:9467"}


def test_the_common_port_has_none() -> None:
    assert metrics_settings(Settings(), 0) == {"KOSMOSX_METRICS": "false"}
