"""Every path that the server answers."""

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from kosmosx_stream.transports import conversations, models, responses, sessions
from kosmosx_stream.transports.endpoint import endpoint
from kosmosx_stream.transports.page import Page
from kosmosx_stream.transports.websocket import responses_socket


def routes() -> list[BaseRoute]:
    """Every path that the server answers."""
    return [
        WebSocketRoute("/v1/responses", responses_socket),
        endpoint("POST", "/v1/responses", responses.create),
        endpoint("GET", "/v1/responses/{response_id}", responses.retrieve),
        endpoint("DELETE", "/v1/responses/{response_id}", responses.delete),
        endpoint("POST", "/v1/responses/{response_id}/cancel", responses.cancel),
        endpoint("GET", "/v1/responses/{response_id}/input_items", responses.list_input_items),
        endpoint("POST", "/v1/conversations", conversations.create),
        endpoint("GET", "/v1/conversations/{conversation_id}", conversations.retrieve),
        endpoint("POST", "/v1/sessions", sessions.open_session),
        endpoint("GET", "/v1/sessions", sessions.list_all),
        endpoint("GET", "/v1/sessions/{session_id}", sessions.retrieve),
        endpoint("DELETE", "/v1/sessions/{session_id}", sessions.close),
        endpoint("GET", "/v1/models", models.list_all),
        endpoint("GET", "/v1/models/{model}", models.retrieve),
        Route("/health/live", models.live),
        Route("/health/ready", models.ready),
        Mount("/", Page()),
    ]
