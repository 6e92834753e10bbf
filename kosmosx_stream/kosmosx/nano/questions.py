"""What can be asked about a scene, in how many ways, each with the true answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kosmosx_stream.kosmosx.nano.answers import (
    NO_SHAPE,
    Answer,
    Moment,
    Phrase,
    Target,
    article,
    coloured,
    counted,
    evidence,
    joined,
    listing,
    names,
    placed,
)
from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS, Scene, Shape
from kosmosx_stream.kosmosx.nano.wording import patterns, pick

ASKING = patterns("questions.toml")
NOTHING: Answer = (f"I see {NO_SHAPE} in this picture.",)
THINGS = (
    *("dog", "cat", "car", "tree", "house", "person", "bird", "flower", "boat", "bike", "face"),
    *("table", "horse", "cloud", "phone", "chair", "cup", "train", "ball", "book", "apple"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer, and what a follow-up may refer to."""

    question: str
    answer: Answer
    topic: str = ""
    focus: Shape | None = None


def the_one(found: Sequence[Shape]) -> Shape | None:
    """What "it" means after an answer about these."""
    return found[0] if len(found) == 1 else None


def some_target(scene: Scene, rng: np.random.Generator, *, absent: float = 0.25) -> Target:
    """A target for a question: mostly something drawn, else something close to it."""
    colour, kind = pick(tuple(COLOURS), rng), pick(KINDS, rng)
    if scene.shapes:
        shape = scene.shapes[int(rng.integers(len(scene.shapes)))]
        other = scene.shapes[int(rng.integers(len(scene.shapes)))]
        if rng.random() >= absent:
            colour, kind = shape.colour, shape.kind
        elif rng.random() < 0.6:
            colour, kind = (shape.colour, kind) if rng.random() < 0.5 else (colour, other.kind)
    form = rng.random()
    if form < 0.45:
        return Target(kind=kind)
    return Target(colour=colour, kind=kind) if form < 0.8 else Target(colour=colour)


def _spelled(target: Target, rng: np.random.Generator) -> Target:
    """What the user calls it: "grey" for gray now and then."""
    if target.colour == "gray" and rng.random() < 0.4:
        return Target("grey", target.kind)
    return target


def caption(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    focus = the_one(scene.shapes)
    question = pick(ASKING["caption"], rng)
    if rng.random() < 0.06:
        question = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz .!?"), rng.integers(1, 12)))
    if not scene.shapes:
        return Asked(question, NOTHING, "caption")
    seen = listing(scene.shapes, places=not at.grounded)
    return Asked(question, ("There is", *seen, "."), "caption", focus)


def detail(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    question = pick(ASKING["detail"], rng)
    if not scene.shapes:
        return Asked(question, NOTHING, "caption")
    return Asked(question, ("There is", *listing(scene.shapes, places=True), "."), "caption")


def count_all(at: Moment) -> Asked:
    return Asked(pick(ASKING["count_all"], at.rng), counted(at, Target()), "count")


def count(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.03:
        thing = pick(THINGS, rng)
        return Asked(
            pick(ASKING["count"], rng).format(thing + "s"), (f"I see no {thing}: zero.",), "count"
        )
    target = some_target(scene, rng)
    question = pick(ASKING["count"], rng).format(_spelled(target, rng).plural)
    return Asked(question, counted(at, target), "count")


def colour(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    kind = pick(KINDS, rng)
    if scene.shapes and rng.random() < 0.88:
        kind = scene.shapes[int(rng.integers(len(scene.shapes)))].kind
    found = Target(kind=kind).picks(scene)
    question = pick(ASKING["colour"], rng).format(kind)
    return Asked(question, coloured(at, kind), "colour", the_one(found))


def which(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    name = pick(tuple(COLOURS), rng)
    if scene.shapes and rng.random() < 0.85:
        name = scene.shapes[int(rng.integers(len(scene.shapes)))].colour
    found = Target(colour=name).picks(scene)
    said = "grey" if name == "gray" and rng.random() < 0.4 else name
    question = pick(ASKING["which"], rng).format(said)
    if not found:
        return Asked(question, (*evidence(at), f", but nothing {name}."), "which")
    kinds = joined([f"the {shape.kind}" for shape in found])
    verdict = f". It is {kinds}." if len(found) == 1 else f". They are {kinds}."
    answer = (*evidence(at, counting=found), verdict)
    return Asked(question, answer, "which", the_one(found))


def locate(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.03:
        thing = pick(THINGS, rng)
        return Asked(pick(ASKING["where"], rng).format(thing), (f"I see no {thing}.",), "where")
    target = some_target(scene, rng, absent=0.15)
    said = _spelled(target, rng)
    name = said.name if said.kind else f"{said.name} {pick(('shape', 'one', 'thing'), rng)}"
    found = target.picks(scene)
    question = pick(ASKING["where"], rng).format(name)
    return Asked(question, placed(at, target), "where", the_one(found))


def find(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    target = Target() if rng.random() < 0.1 else some_target(scene, rng, absent=0.1)
    question = pick(ASKING["find"], rng).format(_spelled(target, rng).plural)
    found = target.picks(scene)
    if not found or not at.grounded:
        return Asked(question, placed(at, target) if target.name else counted(at, target))
    everything = f"everything {target.colour}" if target.colour else "everything"
    words = f"every {target.name}" if target.kind else everything
    return Asked(question, ("Here is", Phrase(words, found), "."), "find")


def exists(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.06:
        thing = pick(THINGS, rng)
        question = pick(ASKING["exists"], rng).format(article(thing))
        return Asked(question, (f"No, I see no {thing}.",), "exists")
    target = some_target(scene, rng, absent=0.6)
    said = _spelled(target, rng)
    name = (
        article(said.name) if said.kind else f"{pick(('anything', 'something'), rng)} {said.name}"
    )
    question = pick(ASKING["exists"], rng).format(name)
    found = target.picks(scene)
    if not found:
        return Asked(question, (*evidence(at), f", but {target.nothing}, so no."), "exists")
    answer = (*evidence(at, counting=found), f", so yes: {names(found)}.")
    return Asked(question, answer, "exists", the_one(found))


def colours(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    question = pick(ASKING["colours"], rng)
    seen = list(dict.fromkeys(shape.colour for shape in scene.shapes))
    if not seen:
        return Asked(question, NOTHING)
    return Asked(question, (*evidence(at), f": {joined(seen)}."), "colours")


Task = Callable[[Moment], Asked | None]
