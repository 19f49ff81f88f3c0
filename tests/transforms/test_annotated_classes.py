import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate
from monai.transforms import MapLabelValued

from pipeline.core.annotation import IGNORED, NO_LUNGS, PLACE
from pipeline.core.labels import LABEL_CODES, LABEL_MAPS, label_map
from transforms.annotated_classes import AnnotatedClassesd

CODES = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)


@pytest.mark.parametrize("kind", [np.array, torch.from_numpy, MetaTensor])
@pytest.mark.parametrize("classes", LABEL_MAPS.values(), ids=LABEL_MAPS)
def test_whole_labels_become_what_monai_makes_of_them(classes, kind):
    mapped = MapLabelValued("label", list(LABEL_CODES), classes.class_of_code().tolist(), np.uint8)
    expected, found = (made({"label": kind(CODES)})["label"] for made in (mapped, AnnotatedClassesd("label", classes)))
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_a_case_is_collated_with_others_whatever_it_annotates():
    made = AnnotatedClassesd("label", label_map("lungs_infection"))
    whole = made({"label": torch.tensor([[[0, 1, 2, 3, 255]]], dtype=torch.uint8), "case": "a"})
    partial = made({"label": torch.tensor([[[0, 0, 0, 3, 255]]], dtype=torch.uint8), "annotates": ["infection"]})
    batch = list_data_collate([{"label": sample["label"]} for sample in (whole, partial)])["label"]
    assert "annotates" not in partial
    assert batch.dtype == torch.uint8
    place = PLACE * NO_LUNGS
    assert batch.flatten(1).tolist() == [[0, 1, 2, 3, IGNORED], [place, place, place, place + 3, place + IGNORED]]
