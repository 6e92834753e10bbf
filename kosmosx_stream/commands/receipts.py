"""`kosmosx receipts …`: whether a receipt is this server's, and as it was."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from kosmosx_stream import bootstrap
from kosmosx_stream.commands.command_line import DataDir, read_settings
from kosmosx_stream.commands.operating import stop
from metering.signing import ReceiptForged, ReceiptSigner, SignedReceipt, verify

receipts = typer.Typer(no_args_is_help=True, help="Signed receipts.")

Key = Annotated[
    str | None,
    typer.Option(help="The server's public key (base64); by default that of the data folder."),
]


@receipts.command("verify")
def check(
    file: Annotated[Path, typer.Argument(help="A receipt, or a session with one, as JSON.")],
    key: Key = None,
    data_dir: DataDir = None,
) -> None:
    """Check a receipt's signature. Exits with 1 if it is not the server's, or was changed."""
    try:
        receipt = _read(file, key or _own_key(data_dir))
    except (OSError, ReceiptForged) as error:
        raise stop(f"{file}: {error}") from None
    typer.echo(
        f"good: session {receipt.session_id} of {receipt.account_id}, {receipt.total_usd} USD"
    )


@receipts.command("key")
def show_key(data_dir: DataDir = None) -> None:
    """Print the public key that receipts are checked with."""
    typer.echo(_own_key(data_dir))


def _read(file: Path, key: str) -> SignedReceipt:
    try:
        given: Any = msgspec.json.decode(file.read_bytes())
    except msgspec.DecodeError as error:
        raise ReceiptForged(f"this is no JSON: {error}") from error
    if isinstance(given, dict) and isinstance(given.get("session"), dict):
        given = given["session"]  # The event `kosmosx:session.closed`.
    if isinstance(given, dict) and "receipt" in given:
        given = given["receipt"]
    if not isinstance(given, dict):
        raise ReceiptForged("expected a receipt, or a session that has one")
    return verify(given, key)


def _own_key(data_dir: Path | None) -> str:
    settings = read_settings(data_dir=data_dir)
    if settings.key_pepper is None and not (settings.data_dir / "pepper").exists():
        raise stop(
            f"KOSMOSX_DATA_DIR (--data-dir) is '{settings.data_dir}': expected the data folder of a"
            " server, whose key is made from its pepper"
        )
    return ReceiptSigner(bootstrap.load_pepper(settings)).public_key
