"""The environment variables that the server reads: what is deployed must set no others."""

from kosmosx_stream.settings import Settings

OTHERS = {
    # OpenTelemetry's own, and those of the Hugging Face hub's client.
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
    "HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE",
}  # fmt: skip


def known_names() -> set[str]:
    fields = Settings.model_fields.items()
    return {
        field.validation_alias
        if isinstance(field.validation_alias, str)
        else f"KOSMOSX_{name.upper()}"
        for name, field in fields
    } | OTHERS
