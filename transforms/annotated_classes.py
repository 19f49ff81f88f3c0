"""From the project's codes to a training's target, which tells what its case's label does not annotate."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapLabelValue, MapTransform

from pipeline.core.annotation import ANNOTATES, Annotation, target_of_code
from pipeline.core.labels import LabelMap


class AnnotatedClassesd(MapTransform):
    """Labels (1, ...) in the project's codes become targets as `pipeline.core.annotation` describes them, uint8.

    Where the label annotates everything and nothing is to be ignored, they are the numbers of the classes.

    Args:
        keys: of the labels.
        label_map: the classes.
    """

    def __init__(self, keys: KeysCollection, label_map: LabelMap) -> None:
        super().__init__(keys)
        self.label_map = label_map
        self.maps: dict[Annotation, MapLabelValue] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        # Taken out: a batch holds cases with and without it
        annotation = Annotation.of(sample.pop(ANNOTATES, None), f"case {sample.get('case')}: ")
        for key in self.key_iterator(sample):
            sample[key] = self._map(annotation)(sample[key])
        return sample

    def _map(self, annotation: Annotation) -> MapLabelValue:
        if annotation not in self.maps:
            numbers = target_of_code(self.label_map, annotation)
            self.maps[annotation] = MapLabelValue([*numbers], [*numbers.values()], np.uint8)
        return self.maps[annotation]
