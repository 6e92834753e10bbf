"""Transactions on one connection; those of several callers are committed as one.

A commit waits for the disk, and costs more than what is in it. So what comes while one is under way
shares the next, each caller's part a savepoint: it is all there or not at all, whatever becomes of
the others' parts, and nobody is answered before it is on the disk.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from metering.errors import StoreUnavailable

Work = Callable[[], Any]
Outcome = tuple[Any, Exception | None]
"""What a piece of work returned, or what it raised."""


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is done inside, or nothing. It is on the disk once `together` has returned."""
    if not (first := begin(db)):
        db.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK" if first else "ROLLBACK TO part")
        raise
    finally:
        if not first and db.in_transaction:
            db.execute("RELEASE part")


def begin(db: sqlite3.Connection) -> bool:
    """Begin a transaction unless one has begun: enough for one statement, which is never in part.

    It is on the disk once `together` has returned.
    """
    if db.in_transaction:
        return False
    # IMMEDIATE: a transaction that reads first and writes later could not be made to wait for
    # another process's write; SQLite would refuse it at once (lang_transaction, section 2.2).
    db.execute("BEGIN IMMEDIATE")
    return True


def together(db: sqlite3.Connection, works: Sequence[Work]) -> list[Outcome]:
    """Do all in order, and commit once. Works that only read begin no transaction."""
    outcomes: list[Outcome] = []
    began: int | None = None
    for place, work in enumerate(works):
        outcomes.append(_outcome(work))
        if db.in_transaction:
            began = place if began is None else began
        elif began is not None:
            # A full disk, for one: SQLite has undone the whole transaction (lang_transaction, 3.1).
            _lose(outcomes, began, "the transaction was undone")
            began = None
    if began is not None:
        try:
            db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            _lose(outcomes, began, str(error))
    return outcomes


def _outcome(work: Work) -> Outcome:
    try:
        return work(), None
    except sqlite3.OperationalError as error:
        unavailable = StoreUnavailable(str(error))
        unavailable.__cause__ = error
        return None, unavailable
    except Exception as error:  # noqa: BLE001 - the caller's
        return None, error


def _lose(outcomes: list[Outcome], began: int, reason: str) -> None:
    """Nothing since then is on the disk, and what was read may not have been there."""
    for place in range(began, len(outcomes)):
        if outcomes[place][1] is None:
            outcomes[place] = None, StoreUnavailable(reason)
