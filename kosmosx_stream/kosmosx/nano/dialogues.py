"""Whole conversations as token ids, with a mask of the tokens to learn.

The layout is the serving prompt's: `<s>`, instructions, then per turn the turn's images,
`<grounding>`, "Question:", the user's text, "Answer:", the answer, `</s>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from kosmosx_stream.kosmosx.nano.answers import Answer, Moment, Phrase
from kosmosx_stream.kosmosx.nano.questions import Asked
from kosmosx_stream.kosmosx.nano.relations import ask
from kosmosx_stream.kosmosx.nano.sampling import sample_scene
from kosmosx_stream.kosmosx.nano.scenes import Corner, Scene, told_loosely
from kosmosx_stream.kosmosx.nano.smalltalk import (
    INSTRUCTIONS,
    Said,
    recall,
    sample_fact,
    talk,
    tell,
)
from kosmosx_stream.kosmosx.nano.tokenizer import BOS, EOS, UNK, Codec
from kosmosx_stream.kosmosx.nano.tools import Called, Offered, ask_for, fits, offer, told
from kosmosx_stream.kosmosx.nano.wording import pick

LONG = 500  # tokens; in many dialogues longer than this nothing is asked for until the end
GLUE = ",.:;!?"  # follows the word before it without a blank


@dataclass(slots=True)
class Dialogue:
    """One training sequence.

    `learn[i]` says that `ids[i]` is to be predicted; `images[k]` is where picture k's first
    placeholder stands; `turns` lists where turns start, the places where positions may jump.
    `corners` are what the location tokens stand for, as fractions of the picture's side; `texts`
    keeps what was said in words; `facts` what the user told; `grounded` says whether boxes are
    wanted once there is a picture; `patient`, that facts are told first and asked for last.
    """

    ids: list[int] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    corners: list[Corner] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    grounded: bool = False
    patient: bool = False

    def add(self, ids: tuple[int, ...], *, learn: bool = False) -> None:
        self.ids += ids
        self.learn += [learn] * len(ids)


def plain(answer: Answer) -> str:
    """The answer as text, without boxes."""
    text = ""
    for part in answer:
        words = part if isinstance(part, str) else part.text
        text += words if not text or words[0] in GLUE else f" {words}"
    return text


def answer_ids(answer: Answer, codec: Codec, *, grounded: bool) -> tuple[int, ...]:
    """Token ids of an answer; without the tags they are the ids of `plain(answer)`."""
    if not grounded:
        return codec.encode(plain(answer))
    ids: list[int] = []
    for part in answer:
        if isinstance(part, Phrase):
            ids += _phrase_ids(part, codec)
        elif part[0] in GLUE:
            ids += codec.glued(part[0])
            ids += codec.encode(part[1:])
        else:
            ids += codec.encode(part)
    return tuple(ids)


def _phrase_ids(phrase: Phrase, codec: Codec) -> list[int]:
    tags = codec.tags
    ids = [tags["<phrase>"], *codec.encode(phrase.text), tags["</phrase>"], tags["<object>"]]
    for i, shape in enumerate(phrase.shapes):
        if i:
            ids.append(tags["</delimiter_of_multi_objects/>"])
        ids += codec.box(shape.cells)
    return [*ids, tags["</object>"]]


def boxed(answer: Answer) -> Iterator[Corner]:
    """What the location tokens of a grounded answer stand for, one after the other."""
    for part in answer:
        for shape in part.shapes if isinstance(part, Phrase) else ():
            yield from (shape.box[:2], shape.box[2:])


def image_ids(codec: Codec, latents: int) -> tuple[int, ...]:
    """A picture's place: the pair of tags around one placeholder per latent, as in Kosmos-2."""
    placeholders = range(UNK + 1, UNK + 1 + latents)
    return codec.tags["<image>"], *placeholders, codec.tags["</image>"]


_PREFIXES = ("Please, ", "Can you tell me: ", "Now tell me: ", "Ok. ", "Thanks. ", "So, ", "Hey, ")


def casual(text: str, rng: np.random.Generator) -> str:
    """Type a question the way people do: lower case, no question mark, a typo now and then."""
    if rng.random() < 0.04 and text:
        text = pick(_PREFIXES, rng) + text
    if rng.random() < 0.35:
        text = text.lower()
    if rng.random() < 0.3:
        text = text.rstrip("?.!")
    elif rng.random() < 0.03:
        text = text.rstrip("?.!") + pick(("!", "??", "...", " ?", " please", ", please?"), rng)
    if rng.random() < 0.06 and len(text) > 6:
        i = int(rng.integers(1, len(text) - 1))
        swapped = text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        text = swapped if rng.random() < 0.5 else text[:i] + text[i + 1 :]
    return text


class Writer:
    """Writes random dialogues; all randomness comes from `rng`."""

    def __init__(self, codec: Codec, rng: np.random.Generator, latents: int) -> None:
        self.codec = codec
        self.rng = rng
        self.image = image_ids(codec, latents)

    def write(self, budget: int, *, pictures: bool = True) -> Dialogue:
        """A dialogue of about `budget` tokens; most hold pictures, each asked about a few times."""
        rng = self.rng
        out = Dialogue()
        out.add((BOS,))
        lines = []
        if rng.random() < 0.13:
            lines = [pick(INSTRUCTIONS, rng) for _ in range(int(rng.integers(1, 4)))]
        offered = offer(rng) if budget > 150 and rng.random() < 0.17 else []
        out.add(self.codec.encode(" ".join(filter(None, (*lines, told(offered))))))
        out.grounded = bool(rng.random() < 0.56)
        out.texts += [*lines, *(each.function.description or "" for each in offered)]
        if offered:
            self._with_functions(out, offered, budget, pictures=pictures and rng.random() < 0.3)
            return out
        out.patient = bool(budget > LONG and rng.random() < 0.7)
        remember = out.patient or rng.random() < 0.5
        if remember or not pictures:
            self._talk(out, int(rng.integers(0, 3)))
            for _ in range(int(rng.integers(1, 4)) if out.patient else int(remember)):
                self._tell(out)
            self._talk(out, 0 if pictures else int(rng.integers(0, 4)))
        while len(out.ids) < budget:
            if pictures:
                self._picture(out)
            else:
                self._talk(out, 3)
        for what in rng.permutation(list(out.facts)) if out.patient else ():
            self._say(out, recall(what, out.facts[what], rng))
        if out.facts and not out.patient:
            self._recall(out)
        return out

    def _with_functions(
        self, out: Dialogue, offered: Sequence[Offered], budget: int, *, pictures: bool
    ) -> None:
        """Turns with calls, and others that need none."""
        rng = self.rng
        while not out.turns or len(out.ids) < budget:
            if rng.random() < 0.6:
                self._call(out, ask_for(offered[int(rng.integers(len(offered)))], rng))
            elif pictures and rng.random() < 0.4:
                self._picture(out)
            else:
                said = talk(rng, seen_picture=bool(out.scenes))
                if not fits(offered, said.question):
                    self._say(out, said)

    def _call(self, out: Dialogue, called: Called) -> None:
        """A question, the call, what came back (nearly always), and what the model makes of it."""
        self._turn(out, called.question, self.codec.encode(called.call), None)
        out.texts.append(called.question)
        if self.rng.random() < 0.8:
            self._turn(out, called.response, self.codec.encode(called.answer), None)

    def _picture(self, out: Dialogue) -> None:
        """Show one scene and ask about it, with small talk in between."""
        rng = self.rng
        some = int(rng.choice(8, p=[0.06, 0.06, 0.07, 0.09, 0.12, 0.16, 0.21, 0.23])) + 1
        hard = bool(rng.random() < 0.5)
        scene = sample_scene(rng, 0 if rng.random() < 0.06 else some, hard=hard)
        scene = told_loosely(scene, rng)
        last = None
        for turn in range(int(rng.choice(5, p=[0.36, 0.3, 0.18, 0.1, 0.06])) + 1):
            draw = rng.random()
            if turn and draw < 0.12:
                self._talk(out, 1)
            elif turn and draw < 0.16 and not out.patient:
                self._tell(out)
            elif turn and draw < 0.23 and not out.patient:
                self._recall(out)
            else:
                last = ask(Moment(scene, rng, out.grounded), last)
                self._ask(out, last, None if turn else scene)

    def _ask(self, out: Dialogue, asked: Asked, scene: Scene | None) -> None:
        answer = answer_ids(asked.answer, self.codec, grounded=out.grounded)
        self._turn(out, casual(asked.question, self.rng), answer, scene)
        if out.grounded:
            out.corners += boxed(asked.answer)
        out.texts += [asked.question, plain(asked.answer)]

    def _say(self, out: Dialogue, said: Said) -> None:
        question = said.question if said.verbatim else casual(said.question, self.rng)
        if said.verbatim and self.rng.random() < 0.2:
            question = question.rstrip(".!?")
        self._turn(out, question, self.codec.encode(said.answer), None)
        out.texts += [said.question, said.answer]

    def _talk(self, out: Dialogue, turns: int) -> None:
        for _ in range(turns):
            draw = self.rng.random()
            if draw < 0.1 and not out.patient:
                self._recall(out)
            elif draw < 0.15 and not out.patient:
                self._tell(out)
            else:
                self._say(out, talk(self.rng, seen_picture=bool(out.scenes)))

    def _tell(self, out: Dialogue) -> None:
        what, value = sample_fact(self.rng)
        out.facts[what] = value
        self._say(out, tell(what, value, self.rng))

    def _recall(self, out: Dialogue) -> None:
        what = sample_fact(self.rng)[0]
        if out.facts and self.rng.random() < 0.8:
            what = list(out.facts)[int(self.rng.integers(len(out.facts)))]
        self._say(out, recall(what, out.facts.get(what), self.rng))

    def _turn(
        self, out: Dialogue, question: str, answer: tuple[int, ...], scene: Scene | None
    ) -> None:
        """Append one turn in the serving layout."""
        codec = self.codec
        out.turns.append(len(out.ids))
        if scene is not None:
            out.images.append(len(out.ids) + 1)
            out.scenes.append(scene)
            out.add(self.image)
        if out.grounded and out.scenes:
            out.add((codec.tags["<grounding>"],))
        for part in ("Question:", question, "Answer:"):
            out.add(codec.encode(part))
        out.add((*answer, EOS), learn=True)
