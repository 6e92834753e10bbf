"""`GET /v1/receipts/key`: what receipts are checked with."""

from typing import Any

from starlette.requests import Request

from kosmosx_stream.protocol.sessions import ReceiptKey
from kosmosx_stream.services import Services
from kosmosx_stream.transports.operation import operation
from metering.authenticator import Principal


@operation(needs="nothing", answer=ReceiptKey)
async def show_key(_request: Request, services: Services, _nobody: Principal) -> Any:
    """`GET /v1/receipts/key`: the public key of the signatures on receipts."""
    return ReceiptKey(public_key=services.signer.public_key)
