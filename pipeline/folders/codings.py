"""What the numbers in other programs' label files mean.

A coding maps a file's numbers to what they mean: `left_lung`, `right_lung`, `lungs` (either), `infection` or
`background`.
Sources: TotalSegmentator's class list (task `total` of version 2), lungmask's documentation (R231 and LTRCLobes),
nnU-Net's `dataset.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import InputError
from pipeline.core.labels import BACKGROUND, INFECTION, LEFT_LUNG, RIGHT_LUNG
from pipeline.folders.layouts import json_object, label_names_of
from pipeline.scans.simpleitk import sitk

LEFT, RIGHT, EITHER, ILL, NOTHING = "left_lung", "right_lung", "lungs", "infection", "background"
# What is scored together: where nobody tells the sides all lung is code 1
CODE = {LEFT: LEFT_LUNG, RIGHT: RIGHT_LUNG, EITHER: LEFT_LUNG, ILL: INFECTION, NOTHING: BACKGROUND}
OWN = {1: LEFT, 2: RIGHT, 3: ILL, 4: ILL, 5: ILL}
LUNGMASK = {1: RIGHT, 2: LEFT, 3: ILL}
LUNGMASK_LOBES = {1: LEFT, 2: LEFT, 3: RIGHT, 4: RIGHT, 5: RIGHT}
TOTALSEGMENTATOR = {10: LEFT, 11: LEFT, 12: RIGHT, 13: RIGHT, 14: RIGHT}
# As nnU-Net calls voxels of its training labels that nobody knows: no network of its gives it
IGNORED = "ignore"
# The folder, of a fold's, in which nnU-Net's training leaves the labels of what that fold holds out
VALIDATION = "validation"
# Words in the names of classes, in small letters
INFECTION_WORDS = ("infect", "lesion", "covid", "opacit", "ggo", "consolidat")


@dataclass(frozen=True)
class Coding:
    """Numbers of a label file -> what they mean; any other number is background.

    Args:
        name: where it is known from, in words.
    """

    name: str
    meanings: Mapping[int, str]

    @property
    def structures(self) -> set[str]:
        """What such files can tell."""
        return set(self.meanings.values()) - {NOTHING}

    @property
    def label_map(self) -> str:
        """Name of the label map that they are scored by."""
        if ILL not in self.structures:
            return "lungs"
        if self.structures == {ILL}:
            return "infection"
        return "lungs_infection" if EITHER not in self.structures else "lungs_and_infection"

    def own_codes(self, voxels: np.ndarray) -> np.ndarray:
        """The project's codes, uint8, of a file's numbers."""
        codes = np.zeros(voxels.shape, np.uint8)
        for number, meaning in self.meanings.items():
            codes[voxels == number] = CODE[meaning]
        return codes


def asked(text: str) -> Coding:
    """Of CODES, such as "1:right_lung 2:left_lung 3:infection"; InputError for anything else."""
    meanings = {}
    for word in text.replace(",", " ").split():
        number, _, meaning = word.partition(":")
        if not number.isdecimal() or meaning not in CODE:
            raise InputError(
                f'CODES is {text!r}; expected numbers with one of {", ".join(CODE)}, such as "1:right_lung '
                '2:left_lung 3:infection".'
            )
        meanings[int(number)] = meaning
    return _something(Coding("CODES", meanings), f"CODES is {text!r}")


def of_dataset_json(folder: Path) -> Coding | None:
    """As nnU-Net's dataset.json in the folder names the classes; None without one, InputError for names unknown.

    That of a fold's validation lies in the folder of all folds, two above.
    """
    places = [folder, folder.absolute().parent.parent] if folder.name == VALIDATION else [folder]
    file = next((file for place in places if (file := place / "dataset.json").is_file()), None)
    if file is None:
        return None
    names = label_names_of(json_object(file).get("labels"))
    if not names:
        raise InputError(f"{file}: names no labels; say what the numbers mean by CODES.")
    meanings = {number: meaning for number, name in names.items() if (meaning := meaning_of(name))}
    if unknown := sorted(names[number] for number in names.keys() - meanings.keys()):
        raise InputError(f"{file}: calls labels {', '.join(unknown)}, which are not known here; say them by CODES.")
    return _something(Coding(f"{file.name} beside the labels", meanings), str(file))


def meaning_of(name: str) -> str | None:
    """What a class of that name is; None for what this project knows nothing of."""
    words = name.lower()
    if any(part in words for part in INFECTION_WORDS):
        return ILL
    if "lung" in words or "lobe" in words:
        return LEFT if "left" in words else RIGHT if "right" in words else EITHER
    return NOTHING if "background" in words or words == IGNORED else None


def _something(coding: Coding, where: str) -> Coding:
    if not coding.structures:
        raise InputError(f"{where}: names neither lung nor infection, so that there is nothing to score.")
    return coding


def recognised(where: str, images: Iterable[sitk.Image]) -> Coding:
    """The coding of label files that nobody said anything of, from their numbers and where these lie.

    `images` have any direction and are looked at one by one; `where` they are from is told. Raises InputError where it
    is no coding that is known, or where files differ.
    """
    numbers: set[int] = set()
    sides: set[str] = set()
    for image in images:
        here = numbers_in(image)
        numbers |= here
        # One lung alone tells nothing
        if {1, 2} <= here:
            sides.add(_by_sides(image))
    if not numbers:
        raise InputError(f"{where}: all label files are empty; say what their numbers mean by CODES.")
    if numbers & TOTALSEGMENTATOR.keys() and not numbers & {1, 2}:
        return Coding("TotalSegmentator's lobes", TOTALSEGMENTATOR)
    if numbers & TOTALSEGMENTATOR.keys() and max(numbers) > max(TOTALSEGMENTATOR):
        return Coding("TotalSegmentator's task total", TOTALSEGMENTATOR)
    if not numbers <= OWN.keys():
        listed = ", ".join(map(str, sorted(numbers)[:8]))
        raise InputError(
            f"{where}: the label files hold the numbers {listed}, which are no coding that is known; say what they "
            'mean, such as CODES="1:right_lung 2:left_lung".'
        )
    if not numbers & {1, 2}:
        return Coding("this project's codes", {3: ILL, 4: ILL, 5: ILL})
    if len(sides) != 1:
        several = f"the files have several codings, {', '.join(sorted(sides))}"
        raise InputError(
            f"{where}: from where 1 and 2 lie {several if sides else 'nobody can tell which lung is which'}; say what "
            'the numbers mean, such as CODES="1:right_lung 2:left_lung".'
        )
    codings = {"this project's codes": OWN, "lungmask's codes": LUNGMASK, "lungmask's lobes": LUNGMASK_LOBES}
    (name,) = sides
    return Coding(name, {number: meaning for number, meaning in codings[name].items() if number in numbers | {1, 2}})


def _by_sides(image: sitk.Image) -> str:
    """The coding by where the numbers lie, of an image that holds 1 and 2."""
    left = {number: mean for number in (1, 2, 3, 4, 5) if (mean := _to_the_left_mm(image, number)) is not None}
    middle = (min(left.values()) + max(left.values())) / 2
    if {3, 5} <= left.keys() and left[1] > middle and left[2] > middle and left[3] < middle and left[5] < middle:
        return "lungmask's lobes"
    return "this project's codes" if left[1] > left[2] else "lungmask's codes"


def _to_the_left_mm(image: sitk.Image, number: int) -> float | None:
    """Towards the patient's left, the mean place of a number's voxels; None where there are none."""
    places = np.argwhere(sitk.GetArrayViewFromImage(image) == number)
    if not len(places):
        return None
    return float(image.TransformContinuousIndexToPhysicalPoint(places.mean(0)[::-1].tolist())[0])


def numbers_in(image: sitk.Image) -> set[int]:
    """All but 0; InputError where they are no whole numbers."""
    values = np.unique(sitk.GetArrayViewFromImage(image))
    if not np.array_equal(values, np.rint(values)):
        raise InputError(f"a label file holds {values[values != np.rint(values)][0]:g}, expected whole numbers.")
    return set(values.astype(int).tolist()) - {0}


def told(coding: Coding) -> str:
    """In one line."""
    pairs = ", ".join(f"{number} {meaning.replace('_', ' ')}" for number, meaning in sorted(coding.meanings.items()))
    return f"{coding.name}: {pairs}"
