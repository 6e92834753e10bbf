"""What can be asked about a scene, and the true answer.

Answers give the evidence before the verdict ("I see a red circle and a red star: two."), because a
small decoder can read off what it has just written but cannot count in its head. The order of
shapes is always left to right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kosmosx_stream.kosmosx.nano.scenes import COLOURS, KINDS, Scene, Shape

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
THINGS = (
    *("dog", "cat", "car", "tree", "house", "person", "bird", "flower", "boat", "bike", "face"),
    *("table", "horse", "cloud", "phone", "chair", "cup", "train", "ball", "book", "apple"),
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand for shapes; with boxes when the turn is grounded."""

    text: str
    shapes: tuple[Shape, ...]


Answer = tuple[str | Phrase, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What a question is about: a colour, a kind, both, or neither."""

    colour: str | None = None
    kind: str | None = None

    def picks(self, scene: Scene) -> tuple[Shape, ...]:
        return tuple(
            shape
            for shape in scene.shapes
            if self.colour in (None, shape.colour) and self.kind in (None, shape.kind)
        )

    @property
    def name(self) -> str:
        """Such as "red circle" or "star"; a colour alone has no noun."""
        return " ".join(word for word in (self.colour, self.kind) if word)

    @property
    def plural(self) -> str:
        if self.kind is None:
            return f"{self.colour} shapes" if self.colour else "shapes"
        kinds = {"cross": "crosses"}.get(self.kind, self.kind + "s")
        return f"{self.colour} {kinds}" if self.colour else kinds

    @property
    def nothing(self) -> str:
        """Such as "no red circle", "nothing red" or "no shape I know"."""
        if self.kind:
            return f"no {self.name}"
        return f"nothing {self.colour}" if self.colour else "no shape I know"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer, and what a follow-up may refer to."""

    question: str
    answer: Answer
    topic: str = ""
    focus: Shape | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """The situation a question is asked in: the picture, and whether boxes are wanted."""

    scene: Scene
    rng: np.random.Generator
    grounded: bool


def article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def where(shape: Shape) -> str:
    """The ninth of the picture the shape's centre lies in, in words."""
    x, y = shape.centre
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    row = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    if row:
        return f"at the {row} {column}".rstrip()
    return f"on the {column}" if column else "in the middle"


def listing(shapes: Sequence[Shape], *, places: bool = False) -> Answer:
    """Such as "a red circle, another red circle and a blue star", each phrase with its box."""
    parts: list[str | Phrase] = []
    named: set[tuple[str, str]] = set()
    for i, shape in enumerate(shapes):
        if i:
            parts.append("and" if i == len(shapes) - 1 else ",")
        words = f"{shape.colour} {shape.kind}"
        again = (shape.colour, shape.kind) in named
        named.add((shape.colour, shape.kind))
        parts.append(Phrase(f"another {words}" if again else article(words), (shape,)))
        if places:
            parts.append(where(shape))
    return tuple(parts)


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def some_target(
    scene: Scene, rng: np.random.Generator, *, kinds: bool = True, absent: float = 0.25
) -> Target:
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
    if form < 0.45 and kinds:
        return Target(kind=kind)
    return Target(colour=colour, kind=kind) if form < 0.8 or not kinds else Target(colour=colour)


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
    focus = scene.shapes[0] if len(scene.shapes) == 1 else None
    question = pick(CAPTION, rng)
    if rng.random() < 0.06:
        question = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz .!?"), rng.integers(1, 12)))
    if not scene.shapes:
        return Asked(question, ("I see no shape I know in this picture.",), "caption")
    return Asked(question, ("There is", *listing(scene.shapes), "."), "caption", focus)


def detail(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    question = pick(DETAIL, rng)
    if not scene.shapes:
        return Asked(question, ("I see no shape I know in this picture.",), "caption")
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


def counted(scene: Scene, target: Target, *, grounded: bool) -> Answer:
    found = target.picks(scene)
    if not found:
        return (f"I see {target.nothing}: zero.",)
    return ("I see", *listing(found, places=not grounded), f": {NUMBERS[len(found)]}.")


def count_all(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    return Asked(pick(COUNT_ALL, rng), counted(scene, Target(), grounded=at.grounded), "count")


def count(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    if rng.random() < 0.03:
        thing = pick(THINGS, rng)
        return Asked(pick(COUNT, rng).format(thing + "s"), (f"I see no {thing}: zero.",), "count")
    target = some_target(scene, rng)
    question = pick(COUNT, rng).format(_spelled(target, rng).plural)
    return Asked(question, counted(scene, target, grounded=at.grounded), "count")


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


def coloured(scene: Scene, kind: str) -> Answer:
    found = Target(kind=kind).picks(scene)
    if not found:
        return (f"I see no {kind}.",)
    if len(found) == 1:
        return (Phrase(f"The {kind}", found), f"is {found[0].colour}.")
    return ("I see", *listing(found), ".")


def colour(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    kind = pick(KINDS, rng)
    if scene.shapes and rng.random() < 0.88:
        kind = scene.shapes[int(rng.integers(len(scene.shapes)))].kind
    found = Target(kind=kind).picks(scene)
    question = pick(COLOUR, rng).format(kind)
    return Asked(question, coloured(scene, kind), "colour", found[0] if len(found) == 1 else None)


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
        return Asked(question, (f"I see nothing {name}.",), "which")
    answer = ("I see", *listing(found), ".")
    return Asked(question, answer, "which", found[0] if len(found) == 1 else None)


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


def placed(scene: Scene, target: Target) -> Answer:
    found = target.picks(scene)
    if not found:
        return (f"I see {target.nothing}.",)
    if len(found) == 1:
        shape = found[0]
        return (Phrase(f"The {shape.colour} {shape.kind}", found), f"is {where(shape)}.")
    return ("I see", *listing(found, places=True), ".")


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
    return Asked(question, placed(scene, target), "where", found[0] if len(found) == 1 else None)


def find(at: Moment) -> Asked:
    scene, rng = at.scene, at.rng
    target = Target() if rng.random() < 0.1 else some_target(scene, rng, absent=0.1)
    question = pick(FIND, rng).format(_spelled(target, rng).plural)
    found = target.picks(scene)
    if not found or not at.grounded:
        one_by_one = (
            placed(scene, target) if target.name else counted(scene, target, grounded=False)
        )
        return Asked(question, one_by_one)
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
        return Asked(question, (f"No, I see {target.nothing}.",), "exists")
    answer = ("Yes, I see", *listing(found), ".")
    return Asked(question, answer, "exists", found[0] if len(found) == 1 else None)


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
    names = list(dict.fromkeys(shape.colour for shape in scene.shapes))
    if not names:
        return Asked(question, ("I see no shape I know in this picture.",))
    said = names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"
    return Asked(question, (f"I see {said}.",), "colours")


Task = Callable[[Moment], Asked | None]
