"""The environment variables that the server reads: what is deployed must set no others."""

from kosmosx_stream.settings import Settings

OTHERS = {
    # OpenTelemetry's own, and those of the Hugging Face hub's client.
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
    "HF_HOME", "HF_HUB_OFFLINE",
}  # fmt: skip
SECRETS = {"HF_TOKEN", "VALKEY_PASSWORD", "SUPABASE_DB_URL"}
"""Secrets that others than the server read."""


def known_names() -> set[str]:
    return set(_settings()) | OTHERS | SECRETS


def secret_names() -> set[str]:
    """Those that must be kept secret."""
    return {name for name, secret in _settings().items() if secret} | SECRETS


def _settings() -> dict[str, bool]:
    """The names of the settings, and whether they are secrets."""
    return {
        field.validation_alias
        if isinstance(field.validation_alias, str)
        else f"KOSMOSX_{name.upper()}": "SecretStr" in str(field.annotation)
        for name, field in Settings.model_fields.items()
    }
