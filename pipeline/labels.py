"""The project's label codes, the classes that a network can be trained on, and the structures that are scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError

BACKGROUND, LEFT_LUNG, RIGHT_LUNG, INFECTION = 0, 1, 2, 3
LABEL_CODES = (BACKGROUND, LEFT_LUNG, RIGHT_LUNG, INFECTION)

# Structure -> codes that belong to it. `lungs` is 1 and 2 as labelled, the papers' way: infected lung is code 3 and not
# in it. The volume of the whole lung, for severity, is 1, 2 and 3 together.
STRUCTURES = {
    "left_lung": (LEFT_LUNG,),
    "right_lung": (RIGHT_LUNG,),
    "lungs": (LEFT_LUNG, RIGHT_LUNG),
    "infection": (INFECTION,),
}


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
    def infection_classes(self) -> list[int]:
        """Numbers of the classes that are the infection and nothing else, whatever they are called; none without."""
        return [number for number, codes in enumerate(self.classes.values()) if tuple(codes) == (INFECTION,)]

    def class_of_code(self) -> np.ndarray:
        """uint8 table: the number of the class of each of the project's codes."""
        table = np.zeros(len(LABEL_CODES), np.uint8)
        for number, codes in enumerate(self.classes.values()):
            table[list(codes)] = number
        return table


LABEL_MAPS = {
    # The project's own codes, unchanged
    "lungs_infection": LabelMap(
        {
            "background": (BACKGROUND,),
            "left_lung": (LEFT_LUNG,),
            "right_lung": (RIGHT_LUNG,),
            "infection": (INFECTION,),
        },
        STRUCTURES,
    ),
    # Anam-Net's (Paluru et al. 2021)
    "abnormal_normal": LabelMap(
        {"background": (BACKGROUND,), "abnormal": (INFECTION,), "normal": (LEFT_LUNG, RIGHT_LUNG)},
        {"abnormal": (1,), "normal": (2,)},
    ),
    # The whole lungs with what is infected of them: the first stage of a cascade
    "lungs": LabelMap(
        {"background": (BACKGROUND,), "lungs": (LEFT_LUNG, RIGHT_LUNG, INFECTION)}, {"whole_lungs": (1,)}
    ),
    # A cascade's result
    "lungs_and_infection": LabelMap(
        {"background": (BACKGROUND,), "lungs": (LEFT_LUNG, RIGHT_LUNG), "infection": (INFECTION,)},
        {"lungs": (1,), "infection": (2,)},
    ),
    # Inf-Net's and MiniSeg's; the second stage of a cascade
    "infection": LabelMap(
        {"background": (BACKGROUND, LEFT_LUNG, RIGHT_LUNG), "infection": (INFECTION,)}, {"infection": (1,)}
    ),
}


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
