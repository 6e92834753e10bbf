"""Whether a collector takes what is sent over OTLP."""

import httpx

TIMEOUT_S = 3.0
HEADERS = {"content-type": "application/x-protobuf"}


async def refusal_of(endpoint: str) -> str | None:
    """Why it does not take an export of nothing, which is an empty message; None if it does."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            answer = await http.post(f"{endpoint}/v1/traces", content=b"", headers=HEADERS)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return None if answer.is_success else f"it answered {answer.status_code}"
