"""How a step's outputs of vLLM reach the answers: as token ids, at once, with nothing made of them.

vLLM's own processor builds an object of some thirty fields for each token, wakes a task for it, and
keeps more statistics than anybody looks at; beside a small model that costs as much as serving
does. Deltas are only asked for by this server; whatever else is asked of this vLLM goes the usual
way. It leans on the insides of `OutputProcessor` (vLLM 0.32).

Answers are delivered at a pace: what a fast model says between two beats is one delta, for a piece
costs the rest of the server as much with one token as with ten. The more are answered, the slower
the beat. The first words and the last are delivered at once.

Importing this imports vLLM, as `vllm_process` does.
"""

import asyncio
import contextvars
import time
from typing import Any, Self

from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest
from vllm.v1.engine import FinishReason as Reason
from vllm.v1.engine.output_processor import OutputProcessor, OutputProcessorOutput, RequestState
from vllm.v1.engine.parallel_sampling import ParentRequest
from vllm.v1.metrics.stats import IterationStats

from kosmosx_stream.engines.port import Deliver, Delta, EngineError, FinishReason
from kosmosx_stream.engines.vllm_process import ImagesForgotten, engine_error

SMOOTH_S = 0.01
"""Nobody sees more than a hundred pieces a second."""
PIECES_PER_S = 2000
"""Of all answers together: a tenth of a core. Beyond it pieces get larger, up to the interval's."""
MOST_PIECES_PER_S = 8000
"""Half of a core, which has their tokens to see to, too; beyond it they get larger still."""
_ENDS: dict[Reason, FinishReason] = {Reason.STOP: "stop", Reason.LENGTH: "length"}


class StepOutputs(OutputProcessor):
    """Tells each `Answer` how it goes on. Where deltas are asked for, vLLM's queue holds one."""

    def __init__(self, *args: Any, interval_s: float, **options: Any) -> None:
        """`interval_s`: from one beat to the next, at the most while a core can keep it."""
        super().__init__(*args, **options)
        self._beat = Beat(interval_s)
        self.spoke_at = 0.0
        """When the engine last said something (`time.monotonic`)."""

    @classmethod
    def in_place_of(cls, other: OutputProcessor, interval_s: float) -> Self:
        """One that makes of other requests what the other one did."""
        return cls(
            other.tokenizer,
            log_stats=other.log_stats,
            stream_interval=other.stream_interval,
            interval_s=interval_s,
        )

    def add_request(
        self,
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: ParentRequest | None = None,
        request_index: int = 0,
        queue: Any = None,
    ) -> None:
        """Begin an answer, and put it into the queue that whoever asks is given."""
        super().add_request(request, prompt, parent_req, request_index, queue)
        state = self.request_states[request.request_id]
        if state.output_kind is RequestOutputKind.DELTA:
            queue.output = state.queue = Answer(request.request_id, self._beat)

    def process_outputs(
        self,
        engine_core_outputs: list[EngineCoreOutput],
        engine_core_timestamp: float | None = None,
        iteration_stats: IterationStats | None = None,
        weight_version: str | None = None,
    ) -> OutputProcessorOutput:
        """Take what a step of the engine gave."""
        self.spoke_at = time.monotonic()
        others = []
        for output in engine_core_outputs:
            state = self.request_states.get(output.request_id)
            if state is None:
                continue  # It was aborted.
            if state.output_kind is not RequestOutputKind.DELTA:
                others.append(output)
                continue
            self._count(state, output, engine_core_timestamp, iteration_stats)
            self._tell(state, output)
            if output.finish_reason is not None:
                self._finish_request(state)
                self._update_stats_from_finished(state, output.finish_reason, iteration_stats)
        return super().process_outputs(
            others, engine_core_timestamp, iteration_stats, weight_version
        )

    def _count(
        self,
        state: RequestState,
        output: EngineCoreOutput,
        at: float | None,
        stats: IterationStats | None,
    ) -> None:
        """As vLLM does, but for the time between two tokens, which costs more than the tokens."""
        if stats is None:
            return
        if state.is_prefilling or output.events:
            self._update_stats_from_output(state, output, at, stats)
            return
        stats.num_generation_tokens += len(output.new_token_ids)
        state.stats.num_generation_tokens += len(output.new_token_ids)
        state.stats.last_token_ts = at

    def _tell(self, state: RequestState, output: EngineCoreOutput) -> None:
        answer: Any = state.queue
        reason = output.finish_reason
        if reason is not None and reason not in _ENDS:
            answer.put(_failure(state, output))
            return
        first = state.is_prefilling
        if first:
            state.is_prefilling = False
            if output.prefill_stats is not None:
                answer.cached_tokens = output.prefill_stats.num_cached_tokens
        end = None if reason is None else _ENDS[reason]
        answer.go_on(output.new_token_ids, end, at_once=first or end is not None)


class Answer:
    """What vLLM says to one request. It is for the engine to take, and gathers until then."""

    def __init__(self, request_id: str, beat: "Beat") -> None:
        self.request_id = request_id
        self.cached_tokens = 0
        self._beat = beat
        self._token_ids: list[int] = []
        self._end: FinishReason | None = None
        self._due = False
        self._room = False
        self._deliver: Deliver
        self._context: contextvars.Context
        self._taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(self, deliver: Deliver) -> None:
        """Deliver it, to its end; cancelled, nothing more of it.

        Raises:
            EngineError: vLLM ended it otherwise.
            Exception: whatever `deliver` raises.
        """
        self._deliver = deliver
        self._context = contextvars.copy_context()  # Logs and traces are the turn's, not vLLM's.
        self._has_room()
        await self._taken

    def go_on(self, token_ids: list[int], end: FinishReason | None, *, at_once: bool) -> None:
        """More tokens, and with a reason they are the last; in time, unless they are wanted now."""
        self._token_ids += token_ids
        self._end = end
        if at_once:
            self.hand_on()
        elif self._room and not self._due:
            self._due = True
            self._beat.wake(self)

    def put(self, said: object) -> None:
        """What vLLM says in its own words: errors count; that an abort has ended it does not."""
        if isinstance(said, Exception):
            self._fail(engine_error(said))

    def hand_on(self) -> None:
        """Deliver what has gathered, where there is room for it."""
        self._due = False
        if not self._room or self._taken.done() or not (self._token_ids or self._end):
            return
        delta = Delta(tuple(self._token_ids), self._end, self.cached_tokens)
        self._token_ids.clear()
        try:
            room = self._context.run(self._deliver, delta)
        except Exception as error:  # noqa: BLE001 - the others' answers go on
            self._fail(error)
        if self._taken.done():
            return  # Who has it had enough.
        if delta.finish_reason is not None:
            self._taken.set_result(None)
        elif room is not None:
            self._room = False
            room.add_done_callback(self._has_room)

    def _fail(self, error: Exception) -> None:
        if not self._taken.done():
            self._taken.set_exception(error)
            self._taken.exception()  # Nobody may be left to hear of it.

    def _has_room(self, _room: asyncio.Future[None] | None = None) -> None:
        self._room = True
        self.hand_on()


class Beat:
    """Has all that are due hand on together; while there are none it does not beat."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due: list[Answer] = []
        self._next_at = 0.0

    def wake(self, answer: Answer) -> None:
        """Let it hand on at the next beat."""
        if not self._due:
            asyncio.get_running_loop().call_at(self._next_at, self._strike)
        self._due.append(answer)

    def pause_s(self, answers: int) -> float:
        """From a beat with so many answers to the next one."""
        wanted_s = min(self._interval_s, max(SMOOTH_S, answers / PIECES_PER_S))
        return max(wanted_s, answers / MOST_PIECES_PER_S)

    def _strike(self) -> None:
        due, self._due = self._due, []
        self._next_at = asyncio.get_running_loop().time() + self.pause_s(len(due))
        for answer in due:
            answer.hand_on()


def _failure(state: RequestState, output: EngineCoreOutput) -> EngineError:
    """Why a request ended otherwise than by itself."""
    if output.finish_reason == Reason.ERROR and state.is_prefilling:
        # The engine's process lacks an image that this process believed it to have.
        return ImagesForgotten("the engine ended the request before its first token")
    return EngineError(f"the engine ended the request: {output.finish_reason}")
