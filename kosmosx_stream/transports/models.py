"""`/v1/models`, and whether the server is well."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kosmosx_stream.protocol.errors import NotFound, model_not_found
from kosmosx_stream.protocol.models import ModelList, ModelObject
from kosmosx_stream.services import Services
from kosmosx_stream.transports.endpoint import json_response
from kosmosx_stream.transports.operation import operation
from metering.authenticator import Principal


@operation(needs="a key", answer=ModelList)
async def list_all(_request: Request, services: Services, _principal: Principal) -> Any:
    """`GET /v1/models`: what is served."""
    return ModelList(data=services.model_objects())


@operation(needs="a key", answer=ModelObject, refuses=(NotFound,))
async def retrieve(request: Request, services: Services, _principal: Principal) -> Any:
    """`GET /v1/models/{model}`: one of them by its name."""
    name, models = request.path_params["model"], services.model_objects()
    for model in models:
        if model.id == name:
            return model
    raise model_not_found(name, [model.id for model in models])


async def live(_request: Request) -> Response:
    """`GET /health/live`: the process answers."""
    return json_response({"status": "ok"})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: 200 while a turn would be answered, and otherwise why it would not."""
    services: Services = request.app.state.services
    readiness = await services.readiness()
    return json_response({"status": readiness}, status=200 if readiness == "ready" else 503)
