"""Judges all that Python clients are told: by Open Responses' schemas, and by our own documents.

The documents are tightened for that: a field that they do not name is a fault.
"""

import json
import re
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

from kosmosx_stream.transports.asyncapi import asyncapi
from kosmosx_stream.transports.openapi import openapi
from kosmosx_stream.transports.routes import endpoints

SPECIFICATION = Path(__file__).parents[1] / "data" / "open-responses-2026-04-24.openapi.json"
BEYOND = {"response.steer.accepted", "response.steer.pending", "response.steer.failed"}
"""Events of OpenAI's that the specification's document does not have."""
OBJECTS = {"response": "ResponseResource", "response.compaction": "CompactResource"}


def tightened(schema: Any) -> Any:
    """The schema, open to no fields but those that it names."""
    match schema:
        case dict():
            closed = {key: tightened(value) for key, value in schema.items()}
            if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
                closed.setdefault("additionalProperties", False)
            return closed
        case list():
            return [tightened(each) for each in schema]
        case _:
            return schema


class Schemas:
    """The named schemas of a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._validators: dict[str, Draft202012Validator] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.document["components"]["schemas"]

    def faults(self, schema: dict[str, Any], value: Any) -> list[str]:
        """What is wrong with a value."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = schema | {"components": self.document["components"]}
            self._validators[key] = Draft202012Validator(whole)
        return [
            f"{error.message} at {error.instance_path}"
            for error in self._validators[key].iter_errors(value)
        ]


class Judge:
    """Keeps the faults that it finds."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.judged = 0
        self._standard = Schemas(json.loads(SPECIFICATION.read_text()))
        self._http = Schemas(tightened(openapi(endpoints())))
        self._socket = Schemas(tightened(asyncapi()))
        self._events = {
            message["name"]: message["payload"]["allOf"][0]
            for message in self._socket.document["components"]["messages"].values()
            if "allOf" in message["payload"] and "summary" in message
        }
        self._paths = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path) + "$"), methods)
            for path, methods in sorted(
                self._http.document["paths"].items(), key=lambda item: item[0].count("{")
            )
        ]

    def answer(self, method: str, path: str, status: int, media_type: str, body: bytes) -> None:
        """Judge an HTTP response, JSON or a table."""
        self.judged += 1
        where = f"{method} {path} -> {status}"
        value = body.decode() if media_type == "text/csv" else json.loads(body or b"null")
        schema = self._schema(method, path, status, media_type)
        if schema is None:
            self.faults.append(f"{where}: not documented")
            return
        self._find(where, value, self._http.faults(schema, value))
        if status == 200 and isinstance(value, dict):
            self._find(where, value, self._standard_faults(value))

    def event(self, data: str | bytes, *, over: str) -> None:
        """Judge one event of a response, over "sse" or "websocket"."""
        self.judged += 1
        event = json.loads(data)
        kind = event["type"]
        lane = event.pop("stream_id", None)
        schema = self._events.get(kind)
        if kind == "error" and over == "sse":
            # Flat, where the specification's is nested: clients throw at a truthy `error`.
            schema = named("StreamError")
            self._find(over, event, self._http.faults(schema, event))
            return
        if kind == "kosmosx:conversation.changed":
            schema = named("ConversationStreamEvent")
            self._find(over, event, self._http.faults(schema, event))
            return
        if schema is None:
            self.faults.append(f"{over}: the event {kind} is not documented")
            return
        self._find(over, event, self._socket.faults(schema, event))
        if not kind.startswith("kosmosx:") and kind not in BEYOND:
            if kind == "error" and lane is not None:
                event["stream_id"] = lane
            self._find(over, event, self._faults_of_standard_event(kind, event))

    def chunk(self, data: bytes) -> None:
        """Judge the data of an event of a chat's stream."""
        self.judged += 1
        value = json.loads(data)
        self._find("chat", value, self._http.faults(named("ChatStreamData"), value))

    def _schema(
        self, method: str, path: str, status: int, media_type: str
    ) -> dict[str, Any] | None:
        refusal = named("HttpError")
        for pattern, methods in self._paths:
            if pattern.match(path) and method.lower() in methods:
                responses = methods[method.lower()]["responses"]
                if str(status) not in responses:
                    return None
                if status >= 400:
                    return refusal
                if status == 204:
                    return {"type": "null"}
                content = responses[str(status)]["content"]
                return content[media_type]["schema"] if media_type in content else None
        return refusal if status in {404, 405} else None

    def _standard_faults(self, value: dict[str, Any]) -> list[str]:
        if "deleted" in value:
            return []
        if name := OBJECTS.get(value.get("object", "")):
            return self._standard.faults(named(name), value)
        items = value.get("data", ()) if value.get("object") == "list" else ()
        return [
            fault
            for item in items
            if "type" in item
            for fault in self._standard.faults(named("ItemField"), item)
        ]

    def _faults_of_standard_event(self, kind: str, event: dict[str, Any]) -> list[str]:
        if kind == "error":
            return self._standard.faults(named("WebSocketErrorEvent"), event)
        words = re.split(r"[._]", kind)
        name = "".join(word.capitalize() for word in words) + "StreamingEvent"
        if name not in self._standard:
            return [f"Open Responses has no {name}"]
        return self._standard.faults(named(name), event)

    def _find(self, where: str, value: Any, faults: list[str]) -> None:
        self.faults += [f"{where}: {fault}: {json.dumps(value)[:400]}" for fault in faults]


def named(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}
