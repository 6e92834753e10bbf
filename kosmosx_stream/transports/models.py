"""`/v1/models`, and whether the server is well."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kosmosx_stream.protocol.errors import NotFound
from kosmosx_stream.protocol.models import ModelList, ModelObject
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import json_response
from kosmosx_stream.transports.operation import operation
from metering.authenticator import Principal


@operation(needs="a key", answer=ModelList)
async def list_all(_request: Request, services: Services, _principal: Principal) -> Any:
    """`GET /v1/models`: what is served."""
    return ModelList(data=(services.model_object(),))


@operation(needs="a key", answer=ModelObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, _principal: Principal) -> Any:
    """`GET /v1/models/{model}`: one of them by its name."""
    if request.path_params["model"] != services.settings.model_name:
        raise NotFound(
            f"The model '{request.path_params['model']}' does not exist.",
            code="model_not_found",
            param="model",
        )
    return services.model_object()


async def live(_request: Request) -> Response:
    """`GET /health/live`: the process answers."""
    return json_response({"status": "ok"})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: 200 while the model answers."""
    services: Services = request.app.state.services
    if await services.ready():
        return json_response({"status": "ready"})
    return json_response({"status": "draining" if services.hub.draining else "loading"}, status=503)
