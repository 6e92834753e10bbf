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


SUPABASE = {"SUPABASE_URL": "https://a.supabase.co/", "SUPABASE_SERVICE_KEY": "sb_secret_1"}


def test_a_supabase_project_is_its_url_and_its_key() -> None:
    assert Settings(**SUPABASE, key_pepper="p" * 16).supabase_project == (
        "https://a.supabase.co",
        "sb_secret_1",
    )
    assert "sb_secret_1" not in repr(Settings(**SUPABASE, key_pepper="p" * 16))
    assert Settings().supabase_project is None


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ({"SUPABASE_URL": "a.supabase.co"}, "SUPABASE_URL", "expected https://"),
        ({"database": "books.db"}, "SUPABASE_URL", "expected without KOSMOSX_DATABASE"),
        ({"SUPABASE_SERVICE_KEY": None}, "SUPABASE_SERVICE_KEY", "expected with SUPABASE_URL"),
        ({"SUPABASE_URL": None}, "SUPABASE_SERVICE_KEY", "expected with SUPABASE_URL"),
        ({"key_pepper": None}, "key_pepper", "a key is good on every host"),
    ],
)
def test_half_of_a_supabase_project_is_refused(
    given: dict[str, Any], field: str, expected: str
) -> None:
    with pytest.raises(ValidationError, match=expected) as refused:
        Settings(**{**SUPABASE, "key_pepper": "p" * 16, **given})
    assert field in {error["loc"][0] for error in refused.value.errors()}
