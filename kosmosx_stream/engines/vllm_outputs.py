"""How a step's outputs of vLLM reach the answers: as token ids, at once, with nothing made of them.

vLLM's own processor builds an object of some thirty fields for each token, and more statistics than
anybody looks at; beside a small model that costs as much as serving does. Deltas are only asked for
by this server; whatever else is asked of this vLLM goes the usual way. It leans on the insides of
`OutputProcessor.process_outputs` (vLLM 0.32).

Answers are handed on at a pace: what a fast model says between two beats is one delta, for a piece
costs the rest of the server as much with one token as with ten. The first words and the last are
handed on at once.

Importing this imports vLLM, as `vllm_process` does.
"""

import asyncio
from typing import Any, Self

from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput, FinishReason
from vllm.v1.engine.output_processor import OutputProcessor, OutputProcessorOutput, RequestState
from vllm.v1.metrics.stats import IterationStats

from kosmosx_stream.engines.port import Delta, EngineError
from kosmosx_stream.engines.vllm_process import ImagesForgotten

PACE_S = 0.01
"""From one beat to the next, in seconds; no screen shows more than a hundred pictures a second."""
_ENDS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


class StepOutputs(OutputProcessor):
    """Puts a `Delta` into the queue of each answer that has grown; what is not taken is merged.

    Who waits for the queue's `ready` is woken on the beat.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._beat = _Beat()

    @classmethod
    def in_place_of(cls, other: OutputProcessor) -> Self:
        """One that makes of other requests what the other one did."""
        return cls(
            other.tokenizer, log_stats=other.log_stats, stream_interval=other.stream_interval
        )

    def process_outputs(
        self,
        engine_core_outputs: list[EngineCoreOutput],
        engine_core_timestamp: float | None = None,
        iteration_stats: IterationStats | None = None,
        weight_version: str | None = None,
    ) -> OutputProcessorOutput:
        """Take what a step of the engine gave."""
        others = []
        for output in engine_core_outputs:
            state = self.request_states.get(output.request_id)
            if state is None:
                continue  # It was aborted.
            if state.output_kind is not RequestOutputKind.DELTA:
                others.append(output)
                continue
            self._count(state, output, engine_core_timestamp, iteration_stats)
            self._hand_on(state, output)
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

    def _hand_on(self, state: RequestState, output: EngineCoreOutput) -> None:
        reason = output.finish_reason
        queue: Any = state.queue
        if reason is not None and reason not in _ENDS:
            queue.put(_failure(state, output))
            return
        first = state.is_prefilling
        if first:
            state.is_prefilling = False
            if output.prefill_stats is not None:
                state.num_cached_tokens = output.prefill_stats.num_cached_tokens
        before, token_ids = queue.output, tuple(output.new_token_ids)
        if isinstance(before, Exception):
            return
        if before is not None:
            token_ids = before.token_ids + token_ids
        end: Any = None if reason is None else _ENDS[reason]
        queue.output = Delta(token_ids, end, state.num_cached_tokens)
        if first or end is not None:
            queue.ready.set()
        elif before is None:
            self._beat.wake(queue.ready)


class _Beat:
    """Wakes all who are to be woken together; while there are none it does not beat."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Event] = []
        self._next_at = 0.0

    def wake(self, event: asyncio.Event) -> None:
        """Set the event on the next beat."""
        if not self._waiting:
            asyncio.get_running_loop().call_at(self._next_at, self._strike)
        self._waiting.append(event)

    def _strike(self) -> None:
        self._next_at = asyncio.get_running_loop().time() + PACE_S
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()


def _failure(state: RequestState, output: EngineCoreOutput) -> EngineError:
    """Why a request ended otherwise than by itself."""
    if output.finish_reason == FinishReason.ERROR and state.is_prefilling:
        # The engine's process lacks an image that this process believed it to have.
        return ImagesForgotten("the engine ended the request before its first token")
    return EngineError(f"the engine ended the request: {output.finish_reason}")
