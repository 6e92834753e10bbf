"""The judge: compares four ledgers of every answer.

1. An undisturbed run of the same question, where there is one right answer. 2. What the client
noted. 3. The log, as it lies in the store. 4. The bill: the ledger of turns, the usage records, the
receipts of the sessions and the outbox.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise

from kosmosx_stream.turns.adoption import MAX_ADOPTIONS
from tests.chaos.ledgers import Ledgers, Log
from tests.chaos.reader import Event, Question, Reading

GIVEN_UP_AT_EPOCH = MAX_ADOPTIONS + 3
"""After so many owners, the one that only ended it, and its release."""


@dataclass
class Verdict:
    """What was found."""

    answers: int = 0
    tokens: int = 0
    given_up: int = 0
    """Answers that were ended because they had lost too many owners; what there is of them is
    judged like any other."""
    unread: int = 0
    """Answers that no client knows of: it lost its WebSocket before it heard their names."""

    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    mismatches: int = 0
    bill_differences: int = 0
    unsettled: int = 0
    broken: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """Of these there may be none."""
        counts = [name.name for name in fields(self)][4:-1]
        return {name: getattr(self, name) for name in counts}

    @property
    def clean(self) -> bool:
        return not any(self.faults.values())

    def find(self, kind: str, subject: object, what: object, count: int = 1) -> None:
        """Something that may not be."""
        setattr(self, kind, getattr(self, kind) + count)
        self.findings.append(f"{kind}: {subject}: {what}")


class Oracle:
    """Knows the undisturbed answers, and all that was written down."""

    def __init__(self, undisturbed: Mapping[Question, Log], ledgers: Ledgers) -> None:
        self._undisturbed = undisturbed
        self._ledgers = ledgers
        self._verdict = Verdict()

    def judge(self, readings: Iterable[Reading], shown: Mapping[str, Event]) -> Verdict:
        """Judge all answers. `shown`: response objects by id, fetched when all was over."""
        known = set()
        for reading in readings:
            self._verdict.answers += 1
            known.add(reading.response_id)
            if reading.broken is not None:
                self._verdict.find("broken", reading.response_id, reading.broken)
            elif reading.response_id not in self._ledgers.logs:
                self._verdict.find("lost", reading.response_id, "no log")
            else:
                self._judge_numbers(reading)
                self._judge_words(reading, shown)
        self._judge_logs(known)
        self._judge_sessions()
        return self._verdict

    def _judge_numbers(self, reading: Reading) -> None:
        numbers = reading.numbers
        for kind, count in (
            ("duplicated", len(numbers) - len(set(numbers))),
            ("lost", max(numbers) + 1 - len(set(numbers))),
            ("reordered", sum(after < before for before, after in pairwise(numbers))),
        ):
            if count:
                self._verdict.find(kind, reading.response_id, numbers, count)

    def _judge_words(self, reading: Reading, shown: Mapping[str, Event]) -> None:
        """Client, log and server say the same, and where there is one right answer, that."""
        response_id, ended = str(reading.response_id), reading.ended
        assert ended is not None
        log = self._ledgers.logs[response_id]
        usage = ended["kosmosx:usage"]
        said = [
            ("text", reading.text, log.text),
            ("usage", usage["input_tokens"] + usage["output_tokens"], log.tokens),
            ("later", shown.get(response_id), ended),
        ]
        wanted = self._undisturbed.get(reading.question)
        if ended["status"] == "failed" and log.epoch >= GIVEN_UP_AT_EPOCH:
            self._verdict.given_up += 1
            cut = len(log.token_ids)
            if wanted:
                said.append(("beginning", log.token_ids, wanted.token_ids[:cut]))
        elif wanted:
            said.append(("tokens", log.token_ids, wanted.token_ids))
        elif ended["status"] == "failed":
            said.append(("status", "failed", "any other"))
        for name, one, other in said:
            if one != other:
                what = f"{name} {one!r} != {other!r}, {ended['status']} {ended['error']}"
                self._verdict.find("mismatches", response_id, f"{what}, after {reading.failures}")

    def _judge_logs(self, known: set[str | None]) -> None:
        """Every log, whoever has read it: whole, settled once, and billed as it is."""
        for response_id, log in self._ledgers.logs.items():
            self._verdict.unread += response_id not in known
            if not log.whole or response_id in self._ledgers.unreleased:
                self._verdict.find(
                    "unsettled", response_id, [type(e).__name__ for e in log.entries]
                )
                continue
            self._verdict.tokens += len(log.token_ids)
            _, tokens = self._ledgers.turns.get(response_id, ("", None))
            billed = self._ledgers.billed.get(response_id, 0)
            owed = log.tokens if log.token_ids else 0  # What generated nothing is free.
            if (tokens, billed) != (log.tokens, owed):
                difference = f"{tokens} in the ledger, {billed} billed, {log.tokens} in the log"
                self._verdict.find("bill_differences", response_id, difference)
        for response_id in self._ledgers.turns.keys() - self._ledgers.logs.keys():
            self._verdict.find("bill_differences", response_id, "billed, but there is no log")

    def _judge_sessions(self) -> None:
        """The receipts add up to the usage records, and so does what is owed."""
        wanted: Counter[str] = Counter()
        for response_id, tokens in self._ledgers.billed.items():
            wanted[self._ledgers.turns[response_id][0]] += tokens
        for session, received in self._ledgers.sessions.items():
            if received is None:
                self._verdict.find("unsettled", session, "open")
            elif received != wanted[session]:
                difference = f"{received} on the receipt, {wanted[session]} recorded"
                self._verdict.find("bill_differences", session, difference)
        for session, (owed, cost) in self._ledgers.owed.items():
            if owed != cost:
                self._verdict.find("bill_differences", session, f"{owed} in the outbox, not {cost}")
