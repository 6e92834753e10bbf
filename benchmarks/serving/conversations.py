"""Conversations that grow: what their last questions wait for, and their first.

Of many short turns, where the model costs nothing; and the twentieth question of some four thousand
tokens, as a new user asks it: of the bundled model on vLLM, over SSE.
"""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.serving.load import connect
from benchmarks.serving.loads import MODEL, sse
from benchmarks.serving.processes import Server, cpu_s, ours
from benchmarks.serving.tables import Figures, Table, medians, print_table

TURNS, TURN_TOKENS, CONVERSATIONS = 50, 16, 4
LONG_TURNS, LONG_WINDOW = 20, 8_192
SAID = 175  # words of a turn, which its answer makes two hundred tokens
QUESTIONS = (10, 50, 150)  # words
RESPONSE_ID = re.compile(rb'"id":"(resp_[^"]+)"')
READ_TOKENS = re.compile(rb'"input_tokens":(\d+)')
WORDS = ("what", "do", "you", "see", "a", "red", "circle", "blue", "square", "is", "there", "left")


class Turn(msgspec.Struct, frozen=True):
    """One question and its answer."""

    response_id: str
    read_tokens: int
    first_ms: float
    cpu_ms: float

    def figures(self) -> Figures:
        """What the tables show."""
        return {
            "first_ms": self.first_ms,
            "cpu_ms_a_turn": self.cpu_ms,
            "tokens_read": self.read_tokens,
        }


def measure(folder: Path, *, rounds: int) -> Table:
    """Print the tables, and return the figures."""
    with ours(folder / "conversations") as server:
        found = asyncio.run(_many_turns(server))
    long = {"KOSMOSX_MAX_MODEL_LEN": str(LONG_WINDOW)}  # What it says there makes no sense.
    with ours(folder / "long", engine="vllm", environment=long) as server:
        return found | asyncio.run(_many_tokens(server, rounds))


async def _many_turns(server: Server) -> Table:
    """The first turns of conversations against their last."""
    said = ["Go on."] * TURNS
    turns = [await _conversation(server, said) for _ in range(CONVERSATIONS)]
    early, late = range(1, 4), range(TURNS - 3, TURNS)
    runs = {
        "turns 2 to 4": [talk[at].figures() for talk in turns for at in early],
        f"turns {late[0] + 1} to {TURNS}": [talk[at].figures() for talk in turns for at in late],
    }
    title = f"Conversations of {TURNS} turns of {TURN_TOKENS} tokens"
    return _table(title, runs, against="turns 2 to 4")


async def _many_tokens(server: Server, rounds: int) -> Table:
    """The same new question at a conversation's beginning and as its twentieth.

    The twentieth of all lengths are branches of one conversation a round.
    """
    rng = random.Random(0)
    runs: dict[int, dict[str, list[Figures]]] = {length: {} for length in QUESTIONS}
    for _ in range(rounds):
        said = [_text(rng, SAID) for _ in range(LONG_TURNS - 1)]
        past = (await _conversation(server, said))[-1].response_id
        for length in QUESTIONS * 8:
            for turn, previous in ((1, None), (LONG_TURNS, past)):
                asked = await _ask(server, _text(rng, length), previous)
                name = f"turn {turn}, {length} words"
                runs[length].setdefault(name, []).append(asked.figures())
    title = f"Turn {LONG_TURNS} of a conversation of the bundled model on vLLM"
    found: Table = {}
    for length, some in runs.items():
        found |= _table(title, some, against=f"turn 1, {length} words")
    return found


def _table(title: str, runs: dict[str, list[Figures]], *, against: str) -> Table:
    table = medians(runs)
    print_table(title, table, ("first_ms", "cpu_ms_a_turn", "tokens_read"), against=against)
    return table


def _text(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


async def _conversation(server: Server, said: Sequence[str]) -> list[Turn]:
    turns: list[Turn] = []
    for text in said:
        turns.append(await _ask(server, text, turns[-1].response_id if turns else None))
    return turns


async def _ask(server: Server, text: str, previous: str | None) -> Turn:
    load = sse(server, 1, TURN_TOKENS)
    body = {"model": MODEL, "input": text, "max_output_tokens": TURN_TOKENS}
    load = msgspec.structs.replace(load, body=body | {"previous_response_id": previous})
    used = sum(map(cpu_s, server.serving().values()))
    stream = await connect(load)
    began = time.perf_counter()
    stream.ask()
    await stream.ended
    stream.close()
    return Turn(
        response_id=RESPONSE_ID.findall(stream.rest)[-1].decode(),
        read_tokens=int(READ_TOKENS.findall(stream.rest)[-1]),
        first_ms=1000 * (stream.times[0] - began),
        cpu_ms=1000 * (sum(map(cpu_s, server.serving().values())) - used),
    )
