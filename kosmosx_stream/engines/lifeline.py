"""What waits for an engine, and ends when the engine is lost.

Knows no engine: whoever watches one calls `lose`, whoever waits for one does so in `hold`.
"""

import asyncio
from types import TracebackType
from typing import Self

from kosmosx_stream.engines.port import EngineDead


class Lifeline:
    """One engine's life, from its start until it is lost; it does not come back."""

    def __init__(self) -> None:
        self.lost: EngineDead | None = None
        self._waits: set[_Hold] = set()

    @property
    def waited_for(self) -> bool:
        """Whether anything waits for this engine now."""
        return bool(self._waits)

    def check(self) -> None:
        """Let pass while the engine is there.

        Raises:
            EngineDead: it is lost.
        """
        if self.lost is not None:
            raise EngineDead(str(self.lost))

    def lose(self, reason: str) -> None:
        """End everything that waits for this engine. The first reason counts."""
        if self.lost is not None:
            return
        self.lost = EngineDead(reason)
        for wait in self._waits:
            wait.cut()

    def hold(self) -> "_Hold":
        """Wait for the engine inside; no longer than it lives.

        Raises:
            EngineDead: the engine is lost, or was lost while this waited.
        """
        return _Hold(self, self._waits)


class _Hold:
    """One wait. As `asyncio.timeout`, but what ends it is the engine's loss."""

    def __init__(self, life: Lifeline, waits: "set[_Hold]") -> None:
        self._life = life
        self._waits = waits
        self._cut = False
        self._task: asyncio.Task[object]
        self._cancelling = 0

    def cut(self) -> None:
        """End it: the engine is lost."""
        self._cut = True
        self._task.cancel()

    def __enter__(self) -> Self:
        self._life.check()
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._waits.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._waits.discard(self)
        # Where somebody else has cancelled the task too, that counts.
        ended_by_cut = self._cut and self._task.uncancel() <= self._cancelling
        if ended_by_cut and kind is asyncio.CancelledError:
            self._life.check()
