"""Partial labels: what a case's label annotates, and how a training's target tells it voxel by voxel.

A mask of infection alone says nothing of the lungs: its background may be lung. A mask of the lungs says nothing of the
infection inside them. `annotates` in `manifest.json` tells so, of a folder or of a case.

A target is one number a voxel, uint8: the class, or IGNORED where nobody knows it, and PLACE times the sum of what the
case's label does not tell. Where it tells everything it is the number of the class and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.errors import InputError
from pipeline.core.labels import BACKGROUND, IGNORE, INFECTED, LABEL_CODES, LEFT_LUNG, RIGHT_LUNG, LabelMap

LUNGS = (LEFT_LUNG, RIGHT_LUNG)
SIDED = {"left_lung", "right_lung"}
# In a manifest, an entry of the datalist and a sample
ANNOTATES = "annotates"
ANNOTATABLE = ("left_lung", "right_lung", "lungs", "infection")
# What a label does not tell, as parts of a sum
NO_SIDES, NO_LUNGS, NO_INFECTION = 1, 2, 4
SUMS = 8
# Of a target: the class that stands for no class, and what a sum of the above is multiplied by
IGNORED, PLACE = 15, 16


@dataclass(frozen=True)
class Annotation:
    """What a label tells.

    Args:
        sides: left from right lung; without it code 1 or 2 means lung.
        lungs: where they are; without it the background may be lung.
        infection: where it is; without it a lung's voxel may be infected.
    """

    sides: bool = True
    lungs: bool = True
    infection: bool = True

    @classmethod
    def of(cls, structures: Iterable[str] | None, whose: str = "") -> Annotation:
        """From names of ANNOTATABLE, None for everything; InputError naming `whose` they are."""
        if structures is None:
            return cls()
        named = list(structures)
        unknown = [name for name in named if name not in ANNOTATABLE]
        if unknown or not named:
            told = repr(unknown[0]) if unknown else "nothing"
            raise InputError(f"{whose}annotates names {told}; expected some of {', '.join(ANNOTATABLE)}.")
        given = set(named)
        if len(given & SIDED) == 1 and "lungs" not in given:
            one = (given & SIDED).pop()
            raise InputError(
                f"{whose}annotates names {one} alone; expected both left_lung and right_lung, or lungs where the label "
                "does not tell the sides."
            )
        return cls(given >= SIDED, bool(given - {"infection"}), "infection" in given)

    @property
    def names(self) -> list[str] | None:
        """As in a manifest, the shortest way; None for everything."""
        lungs = (["left_lung", "right_lung"] if self.sides else ["lungs"]) if self.lungs else []
        return None if self == Annotation() else [*lungs, *["infection"] * self.infection]

    @property
    def codes(self) -> tuple[int, ...]:
        """The project's codes that such a label may hold."""
        return (BACKGROUND, *(LUNGS if self.lungs else ()), *(INFECTED if self.infection else ()), IGNORE)

    @property
    def untold(self) -> int:
        """What it does not tell, as a sum."""
        # Where no lung is told, its side is not asked for
        lungs = (0 if self.sides else NO_SIDES) if self.lungs else NO_LUNGS
        return lungs + (0 if self.infection else NO_INFECTION)

    def tells(self, codes: Collection[int]) -> bool:
        """Whether the label tells, of every voxel, if it is of a structure that is made of these codes.

        A lung's label without infection holds what is infected of it, so that of whole lungs it tells all.
        """
        wanted = {*codes}
        if BACKGROUND in wanted:
            wanted = {*LABEL_CODES} - wanted
        lungs, infection = wanted & {*LUNGS}, wanted & {*INFECTED}
        if not lungs:
            return self.infection or not infection
        whole = infection in (set(), {*INFECTED})
        return self.lungs and (self.sides or len(lungs) == len(LUNGS)) and (self.infection or whole)


def annotation_of(entry: Mapping[str, Any]) -> Annotation:
    """Of an entry of the datalist."""
    return Annotation.of(entry.get(ANNOTATES), f"case {entry.get('case')}: ")


def host_classes(classes: LabelMap) -> np.ndarray:
    """uint8 (SUMS * PLACE, classes): by the number of a target, the class that each class is counted as.

    What a label does not tell apart is one class to the loss. Infection that nobody has annotated is counted as the
    lung that the label shows, elsewhere as the first class of the lungs, without such a class as background; lungs that
    nobody has annotated as background; the right lung as the left one where the sides are not told. The class that the
    label shows is never counted as another one but for the sides.
    """
    count = len(classes.classes)
    background = int(classes.class_of_code()[BACKGROUND])
    codes = [{*of_class} for of_class in classes.classes.values()]
    lungs = classes.lung_classes
    sides = [[number for number in lungs if codes[number] & {*LUNGS} == {side}] for side in LUNGS]
    table = np.tile(np.arange(count, dtype=np.uint8), (SUMS * PLACE, 1))
    for untold in range(SUMS):
        for shown in range(count):
            row = table[PLACE * untold + shown]
            if untold & NO_LUNGS:
                row[[number for number in lungs if number != shown]] = background
            elif untold & NO_SIDES and all(sides):
                row[sides[1]] = sides[0][0]
            if untold & NO_INFECTION:
                place = shown if shown in lungs else lungs[0] if lungs else background
                row[[number for number in classes.infection_classes if number != shown]] = row[place]
    return table


def certain_classes(classes: LabelMap, annotation: Annotation) -> np.ndarray:
    """uint8 (256,): the class of each of the project's codes where a label tells it from all others, else IGNORE.

    For programs whose loss takes a voxel's class or nothing: what `host_classes` counts together is not told, nor what
    such a label may not hold.
    """
    count = len(classes.classes)
    hosts = host_classes(classes)[PLACE * annotation.untold :][:count]
    alone = (hosts == np.diagonal(hosts)[:, None]).sum(1) == 1
    table = np.full(IGNORE + 1, IGNORE, np.uint8)
    numbers = classes.class_of_code()
    told = [code for code in LABEL_CODES if code in annotation.codes and alone[numbers[code]]]
    table[told] = numbers[told]
    return table


def shown_classes(classes: LabelMap) -> np.ndarray:
    """uint8 (SUMS * PLACE,): by the number of a target, the class that is learnt; background where it is ignored."""
    table, numbers = host_classes(classes), np.arange(SUMS * PLACE) % PLACE
    shown = np.full(SUMS * PLACE, classes.class_of_code()[BACKGROUND], np.uint8)
    within = numbers < len(classes.classes)
    shown[within] = table[within, numbers[within]]
    return shown


def target_of_code(classes: LabelMap, annotation: Annotation) -> dict[int, int]:
    """The number in a target of each of the project's codes, and of IGNORE.

    What makes no difference to the classes is not told: a mask of infection says all to a network that knows no lungs.
    """
    count = len(classes.classes)
    if count > IGNORED:
        raise InputError(f"the label map has {count} classes; expected {IGNORED} at most.")
    place = PLACE * annotation.untold
    same = (host_classes(classes)[place : place + count] == np.arange(count)).all()
    place = 0 if same else place
    numbers = {code: place + int(number) for code, number in enumerate(classes.class_of_code())}
    return {**numbers, IGNORE: place + IGNORED}


def check_annotated(entries: Sequence[Mapping[str, Any]], classes: LabelMap) -> None:
    """Raise InputError where no label of a datalist's entries tells one of the classes, which then cannot be learnt."""
    annotations = {annotation_of(entry) for entry in entries}
    for name, codes in classes.classes.items():
        if BACKGROUND not in codes and not any(annotation.tells(codes) for annotation in annotations):
            raise InputError(
                f"the label map has the class {name.replace('_', ' ')}, which none of the labels annotates "
                f"({'; '.join(sorted(', '.join(one.names or ()) for one in annotations))}); choose another label_map, "
                "or correct annotates in manifest.json."
            )
