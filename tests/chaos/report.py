"""What a campaign did, and what came of it, as tables."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.oracle import Verdict
from tests.chaos.reader import Reading
from tests.chaos.strike import Strike

KILLS = "kill -9 server"
ALL_KILLS = "all `kill -9 server`"


@dataclass(frozen=True)
class Report:
    """Of one campaign."""

    seed: int
    seconds: float
    strikes: Sequence[Strike]
    readings: Sequence[Reading]
    verdict: Verdict

    @property
    def struck(self) -> Counter[str]:
        """How often each fault was there; a point that was not reached does not count."""
        return Counter(strike.name for strike in self.strikes if not strike.missed)

    @property
    def waits_s(self) -> dict[str, list[float]]:
        """How long readers waited for their next token because of one fault alone, by its name.

        One wait, the longest, of each answer that a strike has made wait.
        """
        longest: dict[tuple[int, int], float] = {}
        for reading in self.readings:
            for before, after in reading.waits:
                hits = [strike for strike in self.strikes if strike.hit(before, after)]
                if len(hits) == 1 and not hits[0].missed:
                    key = id(reading), hits[0].number
                    longest[key] = max(longest.get(key, 0.0), after - before)
        names = {strike.number: strike.name for strike in self.strikes}
        waits: dict[str, list[float]] = {}
        for (_, number), wait in longest.items():
            waits.setdefault(names[number], []).append(wait)
        waits[ALL_KILLS] = [
            wait for name, some in waits.items() if name.startswith(KILLS) for wait in some
        ]
        return waits

    def tables(self) -> str:
        """As Markdown."""
        waits = self.waits_s
        faults = [
            (name, times, *_quantiles(waits.get(name, ())))
            for name, times in sorted(self.struck.items())
        ]
        kills = sum(times for name, times in self.struck.items() if name.startswith(KILLS))
        faults.append((ALL_KILLS, kills, *_quantiles(waits[ALL_KILLS])))
        verdict = self.verdict
        counts = {
            "faults": self.struck.total(),
            "answers": verdict.answers,
            "tokens": verdict.tokens,
            **verdict.faults,
            "given up": verdict.given_up,
            "unread": verdict.unread,
        }
        head = f"Seed {self.seed}, {self.seconds / 60:.0f} minutes."
        return "\n\n".join(
            (
                head,
                _table(("fault", "times", "waits", "p50 s", "p99 s"), faults),
                _table([name.replace("_", " ") for name in counts], [tuple(counts.values())]),
            )
        )


def _quantiles(waits_s: Sequence[float]) -> tuple[object, ...]:
    """How many, median, 99th percentile (nearest rank)."""
    if not waits_s:
        return 0, "-", "-"
    ranked = sorted(waits_s)
    p50, p99 = (ranked[math.ceil(share * len(ranked)) - 1] for share in (0.5, 0.99))
    return len(ranked), f"{p50:.2f}", f"{p99:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
