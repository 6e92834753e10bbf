"""Questions that compare shapes, follow up on an earlier answer, or ask what is in a corner."""

from __future__ import annotations

import numpy as np

from kosmosx_stream.kosmosx.nano.answers import (
    Moment,
    Order,
    Phrase,
    Target,
    article,
    coloured,
    counted,
    evidence,
    listing,
    names,
    numbers,
    ordered,
    placed,
    where,
)
from kosmosx_stream.kosmosx.nano.questions import (
    ASKING,
    Asked,
    Task,
    caption,
    colour,
    colours,
    count,
    count_all,
    detail,
    exists,
    find,
    locate,
    some_target,
    the_one,
    which,
)
from kosmosx_stream.kosmosx.nano.scenes import Scene, Shape
from kosmosx_stream.kosmosx.nano.wording import pick

CLEAR = 0.05  # centres closer than this are neither left nor right of each other

SIDES = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath", "underneath"),
}
FURTHER = {
    "left of": "further left",
    "right of": "further right",
    "above": "higher",
    "below": "lower",
}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def _vertical(side: str) -> bool:
    return side in ("above", "below")


def _order(side: str, across: Order = "across") -> Order:
    return "down" if _vertical(side) else across


def _beyond(shape: Shape, anchor: Shape, side: str) -> float:
    """How far the shape's centre lies on that side of the anchor's; negative on the other."""
    axis = 1 if _vertical(side) else 0
    sign = -1 if side in ("left of", "above") else 1
    return sign * (shape.centre[axis] - anchor.centre[axis])


def unique_names(scene: Scene) -> list[tuple[str, Shape]]:
    """Names that mean exactly one shape: its kind alone where that is enough."""
    names = []
    for shape in scene.shapes:
        if len(Target(kind=shape.kind).picks(scene)) == 1:
            names.append((shape.kind, shape))
        if len(Target(shape.colour, shape.kind).picks(scene)) == 1:
            names.append((f"{shape.colour} {shape.kind}", shape))
    return names


def beside(at: Moment) -> Asked | None:
    """What lies on a side of a shape: numbered on the way to it or from it, then told again."""
    scene, rng = at.scene, at.rng
    side = pick(tuple(SIDES), rng)
    question = pick(ASKING["beside"], rng)
    said = pick(SIDES[side], rng)
    order = _order(side, "left to right")
    if rng.random() < 0.06:
        target = some_target(scene, rng, absent=1.0)
        if target.kind and not target.picks(scene):
            before = ordered(scene, order) if side in ("left of", "above") else []
            answer = (*evidence(at, order=order, counting=before), f", but {target.nothing}.")
            return Asked(question.format(side=said, name=target.name), answer)
    choice = unique_names(scene)
    if not choice:
        return None
    name, anchor = choice[int(rng.integers(len(choice)))]
    others = [shape for shape in scene.shapes if shape is not anchor]
    if any(abs(_beyond(shape, anchor, side)) < CLEAR for shape in others):
        return None
    found = [shape for shape in ordered(scene, order) if _beyond(shape, anchor, side) > 0]
    number = numbers(found)

    def note(shape: Shape) -> str:
        here = "here" if at.grounded else ", here"  # after its place in words
        return here if shape is anchor else number(shape)

    told = ", ".join(f"{article(f'{s.colour} {s.kind}')} {number(s)}" for s in found)
    verdict = f", so {side} the {name}: {told or 'nothing'}."
    answer = (*evidence(at, order=order, note=note), verdict)
    return Asked(question.format(side=said, name=name), answer, "beside", the_one(found))


def compare(at: Moment) -> Asked | None:
    scene, rng = at.scene, at.rng
    choice = unique_names(scene)
    if len(choice) < 2:
        return None
    one, other = (choice[int(i)] for i in rng.choice(len(choice), 2, replace=False))
    side = pick(tuple(SIDES), rng)
    if one[1] is other[1] or abs(_beyond(one[1], other[1], side)) < CLEAR:
        return None
    pair = [shape for shape in ordered(scene, _order(side)) if shape in (one[1], other[1])]
    seen = evidence(at, order=_order(side), counting=pair)
    holds = _beyond(one[1], other[1], side) > 0
    if rng.random() < 0.4:
        question = pick(ASKING["either"], rng).format(
            further=FURTHER[side], one=one[0], other=other[0]
        )
        best = one[1] if holds else other[1]
        number = pair.index(best) + 1
        verdict = f". #{number} is {FURTHER[side]}: the {best.colour} {best.kind}."
        return Asked(question, (*seen, verdict), "", best)
    question = pick(ASKING["compare"], rng).format(
        one=one[0], side=pick(SIDES[side], rng), other=other[0]
    )
    first, second = (pair.index(shape) + 1 for _, shape in (one, other))
    true_side = side if holds else OPPOSITE[side]
    verdict = f". The {one[0]} #{first} is {true_side} the {other[0]} #{second}, "
    return Asked(question, (*seen, f"{verdict}so {'yes' if holds else 'no'}."), "compare")


EXTREMES = {
    "biggest": ("biggest", "largest"),
    "smallest": ("smallest", "tiniest"),
    "leftmost": ("leftmost",),
    "rightmost": ("rightmost",),
    "highest": ("highest", "topmost"),
    "lowest": ("lowest",),
}


def extreme(at: Moment) -> Asked | None:
    scene, rng = at.scene, at.rng
    if len(scene.shapes) < 2:
        return None
    name = pick(tuple(EXTREMES), rng)
    keys = {
        "biggest": lambda shape: shape.area**0.5,
        "smallest": lambda shape: -(shape.area**0.5),
        "leftmost": lambda shape: -shape.centre[0],
        "rightmost": lambda shape: shape.centre[0],
        "highest": lambda shape: -shape.centre[1],
        "lowest": lambda shape: shape.centre[1],
    }
    ranked = sorted(scene.shapes, key=keys[name], reverse=True)
    if keys[name](ranked[0]) - keys[name](ranked[1]) < CLEAR:
        return None
    best = ranked[0]
    question = pick(ASKING["extreme"], rng).format(pick(EXTREMES[name], rng))
    order: Order = "by size" if name in ("biggest", "smallest") else "across"
    if name in ("highest", "lowest"):
        order = "down"
    verdict = f". The {name} is #1: the {best.colour} {best.kind}."
    answer = (*evidence(at, order=order, counting=[best]), verdict)
    return Asked(question, answer, "extreme", best)


PLACES = {
    "at the top left": (0, 0.36, 0, 0.36),
    "at the top right": (0.64, 1, 0, 0.36),
    "at the bottom left": (0, 0.36, 0.64, 1),
    "at the bottom right": (0.64, 1, 0.64, 1),
    "in the middle": (0.36, 0.64, 0.36, 0.64),
}


def at_place(at: Moment) -> Asked | None:
    scene, rng = at.scene, at.rng
    place = pick(tuple(PLACES), rng)
    left, right, top, bottom = PLACES[place]
    found = []
    for shape in scene.shapes:
        x, y = shape.centre
        margin = min(x - left if left else 1, right - x if right < 1 else 1)
        margin = min(margin, y - top if top else 1, bottom - y if bottom < 1 else 1)
        if abs(margin) < 0.04:
            return None
        if margin > 0:
            found.append(shape)
    question = pick(ASKING["at"], rng).format(
        place.replace("at the", pick(("at the", "in the"), rng))
    )
    focus = the_one(found)
    verdict = f", so {place}: {names(found)}."
    return Asked(question, (*evidence(at, places=True, counting=found), verdict), "", focus)


def _about_it(shape: Shape, rng: np.random.Generator) -> Asked:
    draw = rng.random()
    if draw < 0.45:
        words = Phrase(f"The {shape.colour} {shape.kind}", (shape,))
        return Asked(pick(ASKING["it_where"], rng), (words, f"is {where(shape)}."), "where", shape)
    if draw < 0.8:
        words = Phrase(f"The {shape.kind}", (shape,))
        return Asked(
            pick(ASKING["it_colour"], rng), (words, f"is {shape.colour}."), "colour", shape
        )
    return Asked(pick(ASKING["it_kind"], rng), ("It is", *listing([shape]), "."), "", shape)


def follow_up(at: Moment, last: Asked) -> Asked | None:
    """A question that only makes sense after `last`: "where is it?", "and the star?"."""
    scene, rng = at.scene, at.rng
    if last.focus is not None and rng.random() < 0.6:
        return _about_it(last.focus, rng)
    target = some_target(scene, rng, absent=0.15)
    if not target.kind:
        return None
    match last.topic:
        case "where":
            return Asked(pick(ASKING["and"], rng).format(target.name), placed(at, target), "where")
        case "count":
            question = pick(ASKING["and"], rng).format(target.plural)
            return Asked(question, counted(at, target), "count")
        case "colour":
            return Asked(
                pick(ASKING["and"], rng).format(target.kind), coloured(at, target.kind), "colour"
            )
    return None


TASKS: tuple[tuple[Task, float], ...] = (
    (caption, 0.22),
    (detail, 0.05),
    (count_all, 0.09),
    (count, 0.16),
    (colour, 0.09),
    (which, 0.06),
    (locate, 0.09),
    (find, 0.04),
    (exists, 0.08),
    (colours, 0.02),
    (beside, 0.22),
    (compare, 0.15),
    (extreme, 0.08),
    (at_place, 0.06),
)
_WEIGHTS = np.array([weight for _, weight in TASKS]) / sum(weight for _, weight in TASKS)


def ask(at: Moment, last: Asked | None) -> Asked:
    """Draw a question about the scene; `last` is the previous one about the same picture."""
    if last is not None and at.rng.random() < 0.2:
        asked = follow_up(at, last)
        if asked is not None:
            return asked
    for _ in range(8):
        asked = TASKS[int(at.rng.choice(len(TASKS), p=_WEIGHTS))][0](at)
        if asked is not None:
            return asked
    return caption(at)
