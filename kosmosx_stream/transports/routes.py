"""Every path that the server answers."""

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from kosmosx_stream.protocol.errors import encode_http
from kosmosx_stream.transports import (
    accounts,
    chat,
    client_secrets,
    conversation_lists,
    conversations,
    keys,
    metrics,
    models,
    receipts,
    responses,
    sessions,
    stripe_webhook,
    usage,
)
from kosmosx_stream.transports.asyncapi import asyncapi
from kosmosx_stream.transports.compact import compact_response
from kosmosx_stream.transports.endpoint import Endpoint, document, json_response, resources
from kosmosx_stream.transports.failures import to_api_error
from kosmosx_stream.transports.openapi import openapi
from kosmosx_stream.transports.page import Page
from kosmosx_stream.transports.websocket import ResponsesSocket

ITEMS = "/v1/conversations/{conversation_id}/items"


def endpoints() -> list[Endpoint]:
    """The HTTP API."""
    return [
        Endpoint("POST", "/v1/responses", responses.create),
        Endpoint("POST", "/v1/responses/compact", compact_response),
        Endpoint("POST", "/v1/responses/input_tokens", responses.count_input_tokens),
        Endpoint("GET", "/v1/responses/{response_id}", responses.retrieve),
        Endpoint("DELETE", "/v1/responses/{response_id}", responses.delete),
        Endpoint("POST", "/v1/responses/{response_id}/cancel", responses.cancel),
        Endpoint("GET", "/v1/responses/{response_id}/input_items", responses.list_input_items),
        Endpoint("POST", "/v1/chat/completions", chat.create),
        Endpoint("GET", "/v1/chat/completions/{completion_id}", chat.retrieve),
        Endpoint("DELETE", "/v1/chat/completions/{completion_id}", chat.delete),
        Endpoint("POST", "/v1/conversations", conversations.create),
        Endpoint("GET", "/v1/conversations", conversation_lists.list_all),
        Endpoint("GET", "/v1/conversations/events", conversation_lists.follow),
        Endpoint("GET", "/v1/conversations/{conversation_id}", conversations.retrieve),
        Endpoint("POST", "/v1/conversations/{conversation_id}", conversations.update),
        Endpoint("DELETE", "/v1/conversations/{conversation_id}", conversations.delete),
        Endpoint("POST", "/v1/conversations/{conversation_id}/head", conversations.move_head),
        Endpoint("POST", ITEMS, conversations.create_items),
        Endpoint("GET", ITEMS, conversations.list_items),
        Endpoint("GET", f"{ITEMS}/{{item_id}}", conversations.retrieve_item),
        Endpoint("DELETE", f"{ITEMS}/{{item_id}}", conversations.delete_item),
        Endpoint("POST", "/v1/sessions", sessions.open_session),
        Endpoint("GET", "/v1/sessions", sessions.list_all),
        Endpoint("GET", "/v1/sessions/{session_id}", sessions.retrieve),
        Endpoint("DELETE", "/v1/sessions/{session_id}", sessions.close),
        Endpoint("GET", "/v1/usage", usage.report),
        Endpoint("GET", "/v1/usage/forecast", usage.look_ahead),
        Endpoint("GET", "/v1/budget", usage.budget),
        Endpoint("PUT", "/v1/budget", usage.set_budget),
        Endpoint("DELETE", "/v1/budget", usage.remove_budget),
        Endpoint("POST", "/v1/client_secrets", client_secrets.create),
        Endpoint("POST", "/v1/accounts", accounts.create),
        Endpoint("POST", "/v1/accounts/sign_in", accounts.sign_in),
        Endpoint("GET", "/v1/account", accounts.retrieve),
        Endpoint("DELETE", "/v1/account", accounts.delete),
        Endpoint("POST", "/v1/account/password", accounts.change_password),
        Endpoint("POST", "/v1/keys", keys.create),
        Endpoint("GET", "/v1/keys", keys.list_all),
        Endpoint("GET", "/v1/keys/{key_id}", keys.retrieve),
        Endpoint("DELETE", "/v1/keys/{key_id}", keys.revoke),
        Endpoint("POST", "/v1/keys/{key_id}/rotate", keys.rotate),
        Endpoint("GET", "/v1/receipts/key", receipts.show_key),
        Endpoint("POST", "/v1/stripe/webhook", stripe_webhook.receive),
        Endpoint("GET", "/v1/models", models.list_all),
        Endpoint("GET", "/v1/models/{model}", models.retrieve),
    ]


def secret_paths() -> frozenset[str]:
    """The paths that take client secrets."""
    return frozenset(each.path for each in endpoints() if each.operation.client_secrets)


def routes() -> list[BaseRoute]:
    """Every path that the server answers."""
    api = endpoints()
    return [
        WebSocketRoute("/v1/responses", ResponsesSocket()),
        *resources(api),
        document("/openapi.json", openapi(api)),
        document("/asyncapi.json", asyncapi()),
        Route("/health/live", models.live),
        Route("/health/ready", models.ready),
        Route("/metrics", metrics.show),
        Mount("/v1", nothing_here),
        Mount("/", Page()),
    ]


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """A path that the API has not, by whatever method; also for a WebSocket."""
    if scope["type"] == "http":
        raise HTTPException(404)
    answer = json_response(encode_http(to_api_error(HTTPException(404))), 404)
    await WebSocket(scope, receive, send).send_denial_response(answer)
