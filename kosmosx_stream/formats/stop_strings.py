"""Stop strings: an answer ends before the first one that it says. Pure.

They are looked for in the visible text, so that neither tokens nor tags hide them. Text that may
become one is held back, and boxes wait until the text that they belong to is shown. Where several
fit, the one that is complete first counts, so that the cut does not depend on the steps.
"""

from collections.abc import Sequence

from conversation.items import Grounding
from kosmosx_stream.formats.beginnings import begun
from kosmosx_stream.formats.chat_format import AnswerDecoder, Released


class StopStrings:
    """An `AnswerDecoder` around another: replaying the same ids restores the same state."""

    def __init__(self, decoder: AnswerDecoder, stops: Sequence[str]) -> None:
        """`stops` are not empty strings; without any, the other decoder's words pass."""
        self.stopped = False
        """Whether a stop string was said: nothing is shown any more."""
        self._decoder = decoder
        self._stops = stops
        self._held = ""
        self._shown = 0
        self._grounding: list[Grounding] = []

    def feed(self, token_ids: Sequence[int]) -> Released:
        """Take the next ids."""
        return self._release(self._decoder.feed(token_ids), over=False)

    def finish(self) -> Released:
        """The answer is over: what might have become a stop string did not."""
        return self._release(self._decoder.finish(), over=True)

    def _release(self, released: Released, *, over: bool) -> Released:
        if not self._stops:
            return released
        if self.stopped:
            return Released()
        text = self._held + released.text
        cut = self._cut(text, over=over)
        self._held = text[cut:]
        self._shown += cut
        everything = over and not self.stopped
        return Released(text[:cut], self._placed(released.grounding, everything=everything))

    def _cut(self, text: str, *, over: bool) -> int:
        """How much of the text may be shown."""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            return min(found)[1]
        return len(text) if over else len(text) - max(begun(text, stop) for stop in self._stops)

    def _placed(self, grounding: Sequence[Grounding], *, everything: bool) -> tuple[Grounding, ...]:
        """The groundings of text that is shown; the others wait for theirs."""
        waiting = [*self._grounding, *grounding]
        placed = [each for each in waiting if everything or each.end <= self._shown]
        self._grounding = [each for each in waiting if each not in placed]
        return tuple(placed)
