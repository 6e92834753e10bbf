"""The models that answer turns, by the names under which they are served."""

from collections.abc import Mapping

import msgspec

from conversation.entries import Started
from kosmosx_stream.formats.chat_format import ChatFormat
from kosmosx_stream.turns.runner import Runner


class Model(msgspec.Struct, frozen=True):
    """What answers: an engine's runner, and the words of its prompts and answers."""

    runner: Runner
    chat_format: ChatFormat


class Models:
    """Those that are loaded; the first is what answers where a turn names none of them."""

    def __init__(self) -> None:
        self._served: Mapping[str, Model] = {}

    def serve(self, models: Mapping[str, Model]) -> None:
        """They are up: turns can start."""
        self._served = models

    @property
    def loaded(self) -> bool:
        return bool(self._served)

    def of(self, started: Started) -> Model:
        """The turn's; some must be loaded. A server may have been renamed since it began."""
        return self._served.get(started.model) or next(iter(self._served.values()))
