"""The part of the evaluation that needs no picture: small talk, memory, calls of functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kosmosx_stream.kosmosx.nano.answers import Moment
from kosmosx_stream.kosmosx.nano.chat import Chat, Nano
from kosmosx_stream.kosmosx.nano.dialogues import answer_ids
from kosmosx_stream.kosmosx.nano.drawing import draw
from kosmosx_stream.kosmosx.nano.held_out import LATER_PHRASINGS, NAMES, PHRASINGS, TELLINGS
from kosmosx_stream.kosmosx.nano.relations import ask
from kosmosx_stream.kosmosx.nano.scenes import Scene
from kosmosx_stream.kosmosx.nano.scoring import SEED, Row, names_all, percent
from kosmosx_stream.kosmosx.nano.smalltalk import recall, talk
from kosmosx_stream.kosmosx.nano.tools import FUNCTIONS, HELD_OUT, ask_for, fits, offer, told
from kosmosx_stream.kosmosx.nano.wording import pick

FAR = (60, 270)  # turns that take twice, and nine times, the window of the training
FEW = 12  # such conversations of each length


class Conversing:
    """Runs the measurements; each yields rows of the table."""

    def __init__(self, nano: Nano, scenes: Sequence[Scene]) -> None:
        self.nano = nano
        self.scenes = scenes

    def rows(self) -> Iterator[Row]:
        yield from self._small_talk()
        yield from self._memory()
        yield from self._far()
        yield from self._calls()

    def _small_talk(self) -> Iterator[Row]:
        rng = np.random.default_rng(SEED)
        turns = [talk(rng, seen_picture=False) for _ in range(200)]
        known = [(turn.question, turn.answer) for turn in turns]
        yield "small talk, trained phrasings", percent(self._says(known)), ""
        yield "small talk, new phrasings", percent(self._says(PHRASINGS)), "90"
        yield "small talk, more new phrasings", percent(self._says(LATER_PHRASINGS)), "90"

    def _says(self, turns: Sequence[tuple[str, ...]]) -> list[bool]:
        """Whether each question gets its answer; a third text is put before all."""
        chats = []
        for question, _, *instructions in turns:
            chats.append(self.nano.chat(*instructions))
            chats[-1].user(question)
        answers = [self.nano.plain(ids) for ids in self.nano.answer(chats)]
        return [text == turn[1] for text, turn in zip(answers, turns, strict=True)]

    def _memory(self) -> Iterator[Row]:
        """Recall of names the training never had, after other turns."""
        for turns, pictures in ((0, False), (10, False), (10, True), (20, True), (25, True)):
            yield self._recalled(NAMES, turns, pictures=pictures)

    def _far(self) -> Iterator[Row]:
        """Recall and captions far beyond the training's window."""
        for turns in FAR:
            label, value, _ = self._recalled(NAMES[:FEW], turns, pictures=True)
            yield label, value, ""
            scenes = self.scenes[:FEW]
            chats = []
            for i, scene in enumerate(scenes):
                rng = np.random.default_rng(SEED + i)
                chats.append(self._long_chat(NAMES[i], turns, rng, pictures=True))
                chats[-1].user("Describe the picture.", draw(scene, 300), grounded=True)
            answers = [self.nano.text(ids) for ids in self.nano.answer(chats)]
            hits = [names_all(text, s) for text, s in zip(answers, scenes, strict=True)]
            yield f"every shape named after {turns} turns", percent(hits), ""

    def _recalled(self, names: Sequence[str], turns: int, *, pictures: bool) -> Row:
        chats = []
        for i, name in enumerate(names):
            rng = np.random.default_rng(SEED + i)
            chats.append(self._long_chat(name, turns, rng, pictures=pictures))
            chats[-1].user(recall("name", name, rng).question, grounded=pictures and turns > 0)
        answers = [self.nano.plain(ids) for ids in self.nano.answer(chats)]
        hits = [said == f"Your name is {name}." for said, name in zip(answers, names, strict=True)]
        kind = "turns about pictures and small talk" if pictures else "turns of small talk"
        tokens = round(np.mean([len(chat.ids) for chat in chats]))
        return f"unseen name recalled after {turns} {kind}, {tokens} tokens", percent(hits), "95"

    def _long_chat(
        self, name: str, turns: int, rng: np.random.Generator, *, pictures: bool
    ) -> Chat:
        """Tell a name and talk for some turns, with true answers."""
        chat, codec = self.nano.chat(), self.nano.codec
        chat.user(pick(TELLINGS, rng).format(name))
        chat.assistant(codec.encode(f"Nice to meet you, {name}!"))
        scene = self.scenes[0]
        for turn in range(turns):
            fresh = pictures and turn % 5 == 0
            if fresh:
                scene = self.scenes[int(rng.integers(len(self.scenes)))]
            if fresh or (pictures and rng.random() < 0.6):
                asked = ask(Moment(scene, rng, grounded=True), None)
                chat.user(asked.question, draw(scene, 300) if fresh else None, grounded=True)
                chat.assistant(answer_ids(asked.answer, codec, grounded=True))
            else:
                said = talk(rng, seen_picture=pictures)
                chat.user(said.question, grounded=pictures)
                chat.assistant(codec.encode(said.answer))
        return chat

    def _calls(self) -> Iterator[Row]:
        """Whether it calls the right function with the right arguments, held to nothing."""
        for label, table in (("trained functions", FUNCTIONS), ("new functions", HELD_OUT)):
            rng = np.random.default_rng(SEED)
            asked, idle = [], []
            for _ in range(max(20, len(self.scenes) // 10)):
                offered = offer(rng, table)
                called = ask_for(offered[int(rng.integers(len(offered)))], rng, table)
                asked.append((called.question, called.call, told(offered)))
                said = talk(rng, seen_picture=False)
                if not fits(offered, said.question, table):
                    idle.append((said.question, said.answer, told(offered)))
            yield f"calls the function that fits, {label}", percent(self._says(asked)), ""
            yield f"calls none where none fits, {label}", percent(self._says(idle)), ""
