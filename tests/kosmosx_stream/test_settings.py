"""Settings that depend on each other, and what is said when they do not fit."""

from typing import Any

import pytest
from pydantic import ValidationError

from kosmosx_stream.settings import Settings


def test_urls_of_engines_come_as_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOSMOSX_ENGINE", "remote")
    monkeypatch.setenv("KOSMOSX_ENGINE_URLS", "http://a:8000/, https://b/engines/1")
    assert Settings().engine_urls == ("http://a:8000", "https://b/engines/1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"engine": "remote"}, "expected with the engine 'remote'"),
        ({"engine_urls": "http://a:8000"}, "expected with the engine 'remote'"),
        ({"engine": "remote", "engine_urls": "a:8000"}, "expected http://host:port, got 'a:8000'"),
        ({"engine": "remote", "engine_urls": "http://"}, "expected http://host:port"),
        ({"engine": "remote", "engine_urls": "http://a,http://a/"}, "expected each server once"),
    ],
)
def test_urls_that_do_not_fit_are_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected) as refused:
        Settings(**given)
    assert refused.value.errors()[0]["loc"] == ("engine_urls",)
