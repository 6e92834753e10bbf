"""The judge: compares four ledgers of every answer.

1. An undisturbed run of the same question. 2. What the client noted. 3. The log, as the server
shows it afterwards. 4. The bill: the books' turns, usage records and receipts.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.chaos.reader import Event, Reading

Question = tuple[str, int]
"""What was asked, and the most tokens that it may take."""


@dataclass
class Verdict:
    """What was found; only `answers` and `tokens` may be more than nothing."""

    answers: int = 0
    tokens: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    mismatches: int = 0
    bill_differences: int = 0
    broken: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (
            self.lost + self.duplicated + self.reordered + self.mismatches + self.bill_differences
            + self.broken
        )  # fmt: skip


class Oracle:
    """Knows the undisturbed answers and the books."""

    def __init__(self, undisturbed: Mapping[Question, Reading], database: Path) -> None:
        self._undisturbed = undisturbed
        self._database = database

    def judge(self, readings: Iterable[Reading], logged: Mapping[str, Event]) -> Verdict:
        """Judge all answers. `logged`: response objects by id, fetched when all was over."""
        verdict = Verdict()
        with sqlite3.connect(self._database) as books:
            for reading in readings:
                verdict.answers += 1
                if reading.broken is not None:
                    verdict.broken += 1
                    verdict.findings.append(f"{reading.response_id}: {reading.broken}")
                    continue
                self._judge_numbers(reading, verdict)
                self._judge_words(reading, logged[str(reading.response_id)], verdict)
                self._judge_bill(reading, books, verdict)
        return verdict

    def _judge_numbers(self, reading: Reading, verdict: Verdict) -> None:
        numbers = [event["sequence_number"] for event in reading.events]
        verdict.duplicated += len(numbers) - len(set(numbers))
        verdict.lost += max(numbers) + 1 - len(set(numbers))
        verdict.reordered += sum(after < before for before, after in pairwise(numbers))
        if numbers != list(range(len(numbers))):
            verdict.findings.append(f"{reading.response_id}: numbers {numbers}")

    def _judge_words(self, reading: Reading, logged: Event, verdict: Verdict) -> None:
        ended = reading.events[-1]["response"]
        verdict.tokens += ended["kosmosx:usage"]["output_tokens"]
        undisturbed = self._undisturbed[(reading.question, reading.max_tokens)]
        wanted = undisturbed.events[-1]["response"]
        for name, mine, other in (
            ("text", reading.text, undisturbed.text),
            ("status", ended["status"], wanted["status"]),
            ("usage", ended["usage"]["output_tokens"], wanted["usage"]["output_tokens"]),
            ("log", logged, ended),
        ):
            if mine != other:
                verdict.mismatches += 1
                verdict.findings.append(f"{reading.response_id}: {name} {mine!r} != {other!r}")

    def _judge_bill(self, reading: Reading, books: sqlite3.Connection, verdict: Verdict) -> None:
        usage = reading.events[-1]["response"]["kosmosx:usage"]
        tokens = usage["input_tokens"] + usage["output_tokens"]
        turns = books.execute(
            "SELECT session_id, input_tokens + output_tokens FROM turns WHERE response_id = ?",
            [reading.response_id],
        ).fetchall()
        billed = books.execute(
            "SELECT SUM(raw_units) FROM usage_records WHERE response_id = ? AND meter = 'tokens'",
            [reading.response_id],
        ).fetchone()
        wanted: tuple[Any, Any] = ([(reading.session_id, tokens)], (tokens,))
        if (turns, billed) != wanted:
            verdict.bill_differences += 1
            verdict.findings.append(f"{reading.response_id}: billed {turns} {billed} for {tokens}")
