"""The wire: requests decoded, log entries projected to events, errors encoded. Pure.

Spoken here is Open Responses, 2026-04-24: the open specification of OpenAI's Responses API over
SSE and WebSocket. What the specification lacks carries the prefix `kosmosx:`.
"""
