"""The project's label codes, the classes that a network can be trained on, and the structures that are scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import InputError

BACKGROUND, LEFT_LUNG, RIGHT_LUNG, INFECTION, GROUND_GLASS, CONSOLIDATION = range(6)
LABEL_NAMES = {
    BACKGROUND: "background",
    LEFT_LUNG: "left lung",
    RIGHT_LUNG: "right lung",
    INFECTION: "infection",
    GROUND_GLASS: "ground-glass opacity",
    CONSOLIDATION: "consolidation",
}
LABEL_CODES = tuple(LABEL_NAMES)
# In a label file: nobody knows what this voxel is. It is left out of training and of every score
IGNORE = 255
# Code 3 is infection whose kind nobody has told. The first of them stands for all where no kind is asked for.
INFECTED = (INFECTION, GROUND_GLASS, CONSOLIDATION)

# Structure -> codes that belong to it. `lungs` is 1 and 2 as labelled, the papers' way: infected lung is code 3, 4 or 5
# and not in it. The volume of the whole lung, for severity, is all of them together.
STRUCTURES = {
    "left_lung": (LEFT_LUNG,),
    "right_lung": (RIGHT_LUNG,),
    "lungs": (LEFT_LUNG, RIGHT_LUNG),
    "infection": INFECTED,
}
# In volume_ml of a datalist, infection of code 3 in a label that has other infection of a kind
UNSPECIFIED = "unspecified_infection"
KINDS = {"ground_glass_opacity": (GROUND_GLASS,), "consolidation": (CONSOLIDATION,)}


@dataclass(frozen=True)
class LabelMap:
    """The classes of a network; predicted label files hold their numbers, 0, 1 and so on in this order.

    Args:
        classes: name of a class -> the project's codes that it is made of.
        structures: name of what is scored -> numbers of the classes that it is made of.
    """

    classes: Mapping[str, tuple[int, ...]]
    structures: Mapping[str, tuple[int, ...]]

    @property
    def codes(self) -> tuple[int, ...]:
        """The project's codes that a class is made of: what a reference may hold."""
        return tuple(sorted(code for codes in self.classes.values() for code in codes))

    def codes_of(self, structure: str) -> tuple[int, ...]:
        """The project's codes that a structure is made of."""
        codes = list(self.classes.values())
        return tuple(code for number in self.structures[structure] for code in codes[number])

    @property
    def lung_classes(self) -> list[int]:
        """Numbers of the classes that hold lung and no background."""
        lungs = {LEFT_LUNG, RIGHT_LUNG}
        return [
            number for number, codes in enumerate(self.classes.values()) if {*codes} & lungs and BACKGROUND not in codes
        ]

    @property
    def infection_classes(self) -> list[int]:
        """Numbers of the classes that are infection and nothing else, whatever they are called; none without."""
        return [number for number, codes in enumerate(self.classes.values()) if {*codes} <= {*INFECTED}]

    @property
    def tells_kinds(self) -> bool:
        """Whether ground-glass opacity and consolidation are classes of their own."""
        return len(self.infection_classes) > 1

    def class_of_code(self) -> np.ndarray:
        """uint8 table: the number of the class of each of the project's codes."""
        table = np.zeros(len(LABEL_CODES), np.uint8)
        for number, codes in enumerate(self.classes.values()):
            table[list(codes)] = number
        return table

    def classes_of(self, codes: np.ndarray) -> np.ndarray:
        """uint8: the number of the class of each voxel of a label in the project's codes; IGNORE stays."""
        table = np.full(IGNORE + 1, IGNORE, np.uint8)
        table[: len(LABEL_CODES)] = self.class_of_code()
        return table[codes]


LABEL_MAPS = {
    # The project's own codes, all infection being one
    "lungs_infection": LabelMap(
        {
            "background": (BACKGROUND,),
            "left_lung": (LEFT_LUNG,),
            "right_lung": (RIGHT_LUNG,),
            "infection": INFECTED,
        },
        {"left_lung": (1,), "right_lung": (2,), "lungs": (1, 2), "infection": (3,)},
    ),
    # Anam-Net's (Paluru et al. 2021)
    "abnormal_normal": LabelMap(
        {"background": (BACKGROUND,), "abnormal": INFECTED, "normal": (LEFT_LUNG, RIGHT_LUNG)},
        {"abnormal": (1,), "normal": (2,)},
    ),
    # The whole lungs with what is infected of them: the first stage of a cascade
    "lungs": LabelMap(
        {"background": (BACKGROUND,), "lungs": (LEFT_LUNG, RIGHT_LUNG, *INFECTED)}, {"whole_lungs": (1,)}
    ),
    # The result of a cascade of these two
    "lungs_and_infection": LabelMap(
        {"background": (BACKGROUND,), "lungs": (LEFT_LUNG, RIGHT_LUNG), "infection": INFECTED},
        {"lungs": (1,), "infection": (2,)},
    ),
    # Inf-Net's and MiniSeg's; the second stage of that cascade
    "infection": LabelMap(
        {"background": (BACKGROUND, LEFT_LUNG, RIGHT_LUNG), "infection": INFECTED}, {"infection": (1,)}
    ),
    # The second stage of Inf-Net. No class knows what code 3 is: `pipeline.data.datalist.check_kinds` refuses it
    "infection_kinds": LabelMap(
        {"background": (BACKGROUND, LEFT_LUNG, RIGHT_LUNG), **KINDS},
        {"infection": (1, 2), "ground_glass_opacity": (1,), "consolidation": (2,)},
    ),
}


def infected(codes: np.ndarray) -> np.ndarray:
    """Boolean mask of what is infected in an array of the project's codes, of whatever kind."""
    # Two comparisons are faster than three; the codes of the infection are the highest but for IGNORE
    mask = codes >= INFECTION
    mask &= codes <= CONSOLIDATION
    return mask


def label_map(name: str) -> LabelMap:
    """The label map of a name; InputError where there is none."""
    if name not in LABEL_MAPS:
        raise InputError(f"label_map is {name!r}, expected one of: {', '.join(LABEL_MAPS)}.")
    return LABEL_MAPS[name]


def in_order(structures: Iterable[str]) -> list[str]:
    """Names of structures, each once, in the order of the label maps."""
    given = set(structures)
    known = dict.fromkeys(name for chosen in LABEL_MAPS.values() for name in chosen.structures)
    return [name for name in known if name in given]
