import pytest

from kosmosx_stream.telemetry.redaction import redact

SECRET = "A" * 43


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"key kx_live_132863d7aa2aefa9_{SECRET}!", "key kx_live_132863d7aa2aefa9_[redacted]!"),
        (f"secret of a page: ek_{SECRET}", "secret of a page: ek_[redacted]"),
        ("token eyJhbGciOi.eyJzdWIi.c2ln expired", "token [redacted token] expired"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer [redacted]"),
        (
            "redis://user:hunter2@store:6379/0 is down",
            "redis://user:[redacted]@store:6379/0 is down",
        ),
        ("redis://:hunter2@store", "redis://:[redacted]@store"),
        ("sk_test_51Habcdefgh and whsec_abcdefgh123", "sk_test_[redacted] and whsec_[redacted]"),
        ("sb_secret_abcdefgh123", "sb_secret_[redacted]"),
        ('{"password": "correct horse"}', '{"password": "[redacted] horse"}'),
        ("api_key=abcdef&x=1", "api_key=[redacted]&x=1"),
        ("at data:image/png;base64,iVBORw0KGgo= here", "at data:[redacted] here"),
        ("resp_5f0c was adopted at entry 3", "resp_5f0c was adopted at entry 3"),
        ("the secret is out", "the secret is out"),
        ("see https://example.com:443/a@b", "see https://example.com:443/a@b"),
    ],
)
def test_what_is_secret_is_not_kept(said: str, kept: str) -> None:
    assert redact(said) == kept
