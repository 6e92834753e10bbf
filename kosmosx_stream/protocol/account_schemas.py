"""JSON Schema of what clients send about their account, its budget and its keys."""

from kosmosx_stream.protocol import accounts, budgets, keys
from kosmosx_stream.protocol.schema_terms import BOOLEAN, array, body, integer, line, one_of, says
from kosmosx_stream.protocol.schemas import Schema
from metering import passwords

_EMAIL: Schema = {"type": "string", "maxLength": passwords.LONGEST_EMAIL}
_PASSWORD: Schema = {"type": "string", "maxLength": passwords.LONGEST}
_CHOSEN = says(_PASSWORD | {"minLength": passwords.SHORTEST}, "Not one that is easily guessed.")

ACCOUNT_BODIES: dict[str, Schema] = {
    "SetBudget": body(
        "What an account may spend in a month.",
        {
            "limit_usd": {
                "type": "string",
                "pattern": f"^{budgets.USD.pattern}$",
                "description": "Dollars, as a decimal: `12.50`.",
            },
            "hard": says(BOOLEAN, "Whether answers stop there, or a warning is all."),
        },
        fallback_usd={
            "type": "string",
            "pattern": f"^{budgets.USD.pattern}$",
            "description": "Dollars on top of a hard limit, for answers of the cheaper model.",
        },
    ),
    "CreateAccount": body(
        "Who is to have an account.",
        {
            "email": says(_EMAIL, "Signs in; upper and lower case are the same."),
            "password": _CHOSEN,
        },
        name=line(accounts.MAX_NAME),
    ),
    "ChangePassword": body(
        "The account's password, and the one that it is to have.",
        {"password": _PASSWORD, "new_password": _CHOSEN},
    ),
    "SignIn": body("Who wants in.", {"email": _EMAIL, "password": _PASSWORD}),
    "CreateKey": body(
        "What a key is to be good for.",
        {},
        label=says(line(keys.MAX_LABEL), "A name to know the key by."),
        scopes=says(
            array(one_of(*keys.SCOPES), least=1),
            "To make and stop responses; to read them; to read what was used; to manage the "
            "account and its keys. Default: all but `manage`.",
        ),
        expires_at=says(integer(0, keys.LATEST), "In Unix seconds; default never."),
    ),
    "RotateKey": body(
        "How a key is to be replaced.",
        {},
        overlap_s=says(
            integer(0, keys.LONGEST_OVERLAP_S),
            f"How long the old key stays valid, in seconds; default {keys.DEFAULT_OVERLAP_S}.",
        ),
    ),
}
