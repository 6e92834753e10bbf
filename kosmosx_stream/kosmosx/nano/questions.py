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


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


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


CAPTION = (
    "What do you see?",
    "What do you see in this picture?",
    "What do you see in the image?",
    "Describe the picture.",
    "Describe this picture.",
    "Describe this image.",
    "Describe the image.",
    "What is in this picture?",
    "What is in the image?",
    "What's in this image?",
    "What's in the picture?",
    "What is this?",
    "What's this?",
    "What is shown here?",
    "What does the picture show?",
    "What can you see?",
    "What can you see here?",
    "Can you describe this image?",
    "Can you describe the picture for me?",
    "Tell me what you see.",
    "Tell me about this picture.",
    "Caption this image.",
    "Write a caption for this picture.",
    "Please describe the scene.",
    "What is on the picture?",
    "Which shapes do you see?",
    "What shapes are there?",
    "Which shapes are in the picture?",
    "What objects are in the image?",
    "List the shapes.",
    "List everything you see.",
    "Name all the shapes.",
    "Look at this.",
    "Here is a picture.",
    "Look!",
    "An image of",
    "describe",
    "caption",
    "what now?",
    "And this one?",
    "What about this picture?",
    "And here?",
    "",
)
DETAIL = (
    "Describe this image in detail.",
    "Describe the picture in detail.",
    "Describe this image in detail:",
    "Give me a detailed description.",
    "What do you see, and where?",
    "Describe everything and where it is.",
    "Tell me exactly what is where.",
    "Where are all the shapes?",
    "Describe the layout.",
)


def caption(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    focus = the_one(scene.shapes)
    question = pick(CAPTION, rng)
    if rng.random() < 0.06:
        question = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz .!?"), rng.integers(1, 12)))
    if not scene.shapes:
        return Asked(question, NOTHING, "caption")
    return Asked(question, ("There is", *listing(scene.shapes), "."), "caption", focus)


def detail(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    question = pick(DETAIL, rng)
    if not scene.shapes:
        return Asked(question, NOTHING, "caption")
    return Asked(question, ("There is", *listing(scene.shapes, places=True), "."), "caption")


COUNT_ALL = (
    "How many shapes are there?",
    "How many shapes do you see?",
    "How many objects are in the picture?",
    "How many objects are there?",
    "Count the shapes.",
    "Count the objects.",
    "Count everything.",
    "How many things do you see?",
    "How many shapes are in this image?",
    "What is the number of shapes?",
    "Can you count the shapes?",
    "How many are there in total?",
    "How many shapes in all?",
)
COUNT = (
    "How many {} are there?",
    "How many {} do you see?",
    "How many {} are in the picture?",
    "How many {} are in this image?",
    "How many {}?",
    "Count the {}.",
    "Count all the {}.",
    "Can you count the {}?",
    "What is the number of {}?",
    "How many {} can you see?",
    "How many {} are shown?",
)


def count_all(at: Moment) -> Asked:
    return Asked(pick(COUNT_ALL, at.rng), counted(at, Target()), "count")


def count(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.03:
        thing = pick(THINGS, rng)
        return Asked(pick(COUNT, rng).format(thing + "s"), (f"I see no {thing}: zero.",), "count")
    target = some_target(scene, rng)
    question = pick(COUNT, rng).format(_spelled(target, rng).plural)
    return Asked(question, counted(at, target), "count")


COLOUR = (
    "What colour is the {}?",
    "What color is the {}?",
    "Which colour is the {}?",
    "Which color is the {}?",
    "What colour does the {} have?",
    "What is the colour of the {}?",
    "What is the color of the {}?",
    "Tell me the colour of the {}.",
    "What's the color of the {}?",
)


def colour(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    kind = pick(KINDS, rng)
    if scene.shapes and rng.random() < 0.88:
        kind = scene.shapes[int(rng.integers(len(scene.shapes)))].kind
    found = Target(kind=kind).picks(scene)
    question = pick(COLOUR, rng).format(kind)
    return Asked(question, coloured(at, kind), "colour", the_one(found))


WHICH = (
    "Which shape is {}?",
    "Which shapes are {}?",
    "What is {}?",
    "What is the {} shape?",
    "What is the {} thing?",
    "What shape is the {} one?",
    "Which ones are {}?",
    "What shapes are {}?",
    "Is anything {}?",
    "Show me the {} ones.",
    "List the {} shapes.",
)


def which(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    name = pick(tuple(COLOURS), rng)
    if scene.shapes and rng.random() < 0.85:
        name = scene.shapes[int(rng.integers(len(scene.shapes)))].colour
    found = Target(colour=name).picks(scene)
    said = "grey" if name == "gray" and rng.random() < 0.4 else name
    question = pick(WHICH, rng).format(said)
    if not found:
        return Asked(question, (*evidence(at), f", but nothing {name}."), "which")
    kinds = joined([f"the {shape.kind}" for shape in found])
    verdict = f". It is {kinds}." if len(found) == 1 else f". They are {kinds}."
    answer = (*evidence(at, counting=found), verdict)
    return Asked(question, answer, "which", the_one(found))


WHERE = (
    "Where is the {}?",
    "Where is the {} in the picture?",
    "Where's the {}?",
    "Where can I find the {}?",
    "Where do you see the {}?",
    "Locate the {}.",
    "In which part of the image is the {}?",
    "Where exactly is the {}?",
    "Can you find the {}?",
)
FIND = (
    "Find all the {}.",
    "Mark the {}.",
    "Point to the {}.",
    "Show me the {}.",
    "Highlight the {}.",
    "Where are the {}?",
    "Draw boxes around the {}.",
    "Box the {}.",
    "Find the {}.",
)


def locate(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.03:
        thing = pick(THINGS, rng)
        return Asked(pick(WHERE, rng).format(thing), (f"I see no {thing}.",), "where")
    target = some_target(scene, rng, absent=0.15)
    said = _spelled(target, rng)
    name = said.name if said.kind else f"{said.name} {pick(('shape', 'one', 'thing'), rng)}"
    found = target.picks(scene)
    question = pick(WHERE, rng).format(name)
    return Asked(question, placed(at, target), "where", the_one(found))


def find(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    target = Target() if rng.random() < 0.1 else some_target(scene, rng, absent=0.1)
    question = pick(FIND, rng).format(_spelled(target, rng).plural)
    found = target.picks(scene)
    if not found or not at.grounded:
        return Asked(question, placed(at, target) if target.name else counted(at, target))
    everything = f"everything {target.colour}" if target.colour else "everything"
    words = f"every {target.name}" if target.kind else everything
    return Asked(question, ("Here is", Phrase(words, found), "."), "find")


EXISTS = (
    "Is there {}?",
    "Is there {} in the picture?",
    "Is there {} in this image?",
    "Do you see {}?",
    "Can you see {}?",
    "Does the picture show {}?",
    "Is {} in the picture?",
    "Is {} in the image?",
)


def exists(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.06:
        thing = pick(THINGS, rng)
        question = pick(EXISTS, rng).format(article(thing))
        return Asked(question, (f"No, I see no {thing}.",), "exists")
    target = some_target(scene, rng, absent=0.6)
    said = _spelled(target, rng)
    name = (
        article(said.name) if said.kind else f"{pick(('anything', 'something'), rng)} {said.name}"
    )
    question = pick(EXISTS, rng).format(name)
    found = target.picks(scene)
    if not found:
        return Asked(question, (*evidence(at), f", but {target.nothing}, so no."), "exists")
    answer = (*evidence(at, counting=found), f", so yes: {names(found)}.")
    return Asked(question, answer, "exists", the_one(found))


COLOURS_LIST = (
    "What colours do you see?",
    "Which colours are there?",
    "What colors are in the image?",
    "Which colors do you see?",
    "List the colours.",
    "What colours are the shapes?",
    "Name the colors.",
)


def colours(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    question = pick(COLOURS_LIST, rng)
    seen = list(dict.fromkeys(shape.colour for shape in scene.shapes))
    if not seen:
        return Asked(question, NOTHING)
    return Asked(question, (*evidence(at), f": {joined(seen)}."), "colours")


Task = Callable[[Moment], Asked | None]
