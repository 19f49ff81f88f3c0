"""The project's label codes, the classes that a network can be trained on, and the structures that are scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

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
# In a manifest and an entry of the datalist
CODES = "codes"
# As manifest.json names them where a data set has codes of its own
CODE_OF = {name.replace(" ", "_").replace("-", "_"): code for code, name in LABEL_NAMES.items()} | {"ignore": IGNORE}
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
    def healthy_lung_classes(self) -> list[int]:
        """Numbers of the classes that are lung that is not infected, of one side or of both."""
        return [number for number, codes in enumerate(self.classes.values()) if {*codes} <= {LEFT_LUNG, RIGHT_LUNG}]

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
    """The label map of a name, of a YAML file, or of what `travelling` made of one; InputError where there is none."""
    name = travelling(name)
    if name.startswith("{"):
        return _of_content(json.loads(name), "label_map")
    if name not in LABEL_MAPS:
        raise InputError(
            f"label_map is {name!r}, expected one of: {', '.join(LABEL_MAPS)}; or a YAML file, docs/data.md."
        )
    return LABEL_MAPS[name]


def travelling(name: str) -> str:
    """What a configuration keeps of a label map: its name, or, of a YAML file, what the file holds as JSON.

    So a run and a bundle need no file of another place. Raises InputError where the file is none or holds no label map.
    """
    if not name.endswith((".yaml", ".yml")):
        return name
    try:
        content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{name}: not readable as a label map ({error}); check the path and the file.") from error
    _of_content(content, name)
    return json.dumps({"classes": content["classes"], "structures": content.get("structures")})


def _of_content(content: Any, where: str) -> LabelMap:
    """The label map of a file's content; InputError naming `where` it is."""
    classes = content.get("classes") if isinstance(content, dict) else None
    if classes is None or not _are_lists(classes, int) or len(classes) < 2:
        raise InputError(f"{where}: expected classes, two or more, each with a list of codes, such as lungs: [1, 2].")
    known = _meanings(lambda chosen: chosen.classes)
    for name, codes in classes.items():
        allowed = set().union(*known.get(name, ()))
        if not {*codes} <= allowed:
            expected = f"codes among {_listed(allowed)}" if allowed else f"classes among {', '.join(known)}"
            raise InputError(f"{where}: has the class {name} of codes {_listed(codes)}; expected {expected}.")
    found = LabelMap({name: tuple(codes) for name, codes in classes.items()}, {})
    _check_complete(found, where)
    given = content.get("structures")
    return replace(found, structures=_told(found) if given is None else _given(found, given, where))


def _are_lists(content: Any, of: type | tuple[type, ...]) -> bool:
    """Whether names have lists of such values, none of them empty."""
    return isinstance(content, dict) and all(
        isinstance(values, list) and values and all(isinstance(value, of) for value in values)
        for values in content.values()
    )


def _meanings(part: Callable[[LabelMap], Mapping[str, tuple[int, ...]]]) -> dict[str, list[set[int]]]:
    """By the name of a class, or of a structure, the sets of codes that the project's label maps have for it."""
    found: dict[str, list[set[int]]] = {}
    for chosen in LABEL_MAPS.values():
        for name in part(chosen):
            codes = chosen.classes[name] if part(chosen) is chosen.classes else chosen.codes_of(name)
            found.setdefault(name, []).append({*codes})
    return found


def _check_complete(classes: LabelMap, where: str) -> None:
    codes, first = classes.codes, next(iter(classes.classes))
    if twice := [code for code in LABEL_CODES if codes.count(code) > 1]:
        raise InputError(f"{where}: has code {twice[0]} {LABEL_NAMES[twice[0]]} in two classes; expected each in one.")
    # What is infection of no told kind may be of no class, as in `infection_kinds`
    missing = [code for code in LABEL_CODES if code not in codes and code != INFECTION]
    if missing or (INFECTION not in codes and not classes.tells_kinds):
        code = missing[0] if missing else INFECTION
        raise InputError(f"{where}: has code {code} {LABEL_NAMES[code]} in no class; expected each in one.")
    if BACKGROUND not in classes.classes[first]:
        raise InputError(f"{where}: begins with the class {first}; expected background, code {BACKGROUND}.")


def _told(classes: LabelMap) -> dict[str, tuple[int, ...]]:
    """All structures that classes tell, by their numbers; other names of the same only where no usual one is told."""
    told = {}
    codes = [{*of_class} for of_class in classes.classes.values()]
    for name, meanings in _meanings(lambda chosen: chosen.structures).items():
        for meant in meanings:
            within = [number for number, of_class in enumerate(codes) if of_class <= meant]
            if set().union(*(codes[number] for number in within)) == meant & {*classes.codes}:
                told[name] = tuple(within)
    return {name: numbers for name, numbers in told.items() if name in {*STRUCTURES, *KINDS}} or told


def _given(classes: LabelMap, structures: Any, where: str) -> dict[str, tuple[int, ...]]:
    """Structures of classes by name or number, by their numbers; InputError where a name means other codes."""
    if not _are_lists(structures, (str, int)):
        raise InputError(f"{where}: expected structures, each with a list of classes, such as infection: [infection].")
    known, names = _meanings(lambda chosen: chosen.structures), list(classes.classes)
    numbered = {}
    for name, members in structures.items():
        if others := [member for member in members if member not in names and member not in range(len(names))]:
            raise InputError(
                f"{where}: has {others[0]!r} in the structure {name}; expected some of {', '.join(names)}."
            )
        numbered[name] = tuple(names.index(member) if member in names else member for member in members)
        held = frozenset(replace(classes, structures=numbered).codes_of(name))
        meanings = dict.fromkeys(frozenset(meant & {*classes.codes}) for meant in known.get(name, ()))
        if held not in meanings:
            expected = " or ".join(map(_listed, meanings)) or f"a name of {', '.join(known)}"
            raise InputError(f"{where}: has the structure {name} of codes {_listed(held)}; expected {expected}.")
    return numbered


def _listed(codes: Iterable[Any]) -> str:
    return ", ".join(map(str, sorted(codes, key=str)))


def in_order(structures: Iterable[str]) -> list[str]:
    """Names of structures, each once, in the order of the label maps."""
    given = set(structures)
    known = dict.fromkeys(name for chosen in LABEL_MAPS.values() for name in chosen.structures)
    return [name for name in known if name in given]
