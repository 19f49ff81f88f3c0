"""What is far smaller than the lungs is none; two lungs stay, whatever their sizes, and so does what hangs on them."""

from __future__ import annotations

import torch

from pipeline.scans.small_parts import without_small_parts


def found(*boxes: tuple[int, tuple[slice, slice, slice]], size: tuple[int, int, int] = (20, 20, 10)) -> torch.Tensor:
    """Probabilities of four classes, .7 for the one that a box names, .1 for the others; background elsewhere."""
    classes = torch.zeros(size, dtype=torch.long)
    for number, box in boxes:
        classes[box] = number
    return torch.nn.functional.one_hot(classes, 4).movedim(-1, 0) * 0.6 + 0.1


LUNG = (1, (slice(0, 8), slice(0, 10), slice(0, 10)))  # 800 voxels
OTHER_LUNG = (2, (slice(10, 14), slice(0, 10), slice(0, 5)))  # 200 voxels
TABLE = (1, (slice(16, 20), slice(15, 20), slice(0, 5)))  # 100 voxels


def test_a_small_part_becomes_background():
    probabilities = found(LUNG, OTHER_LUNG, TABLE)
    assert torch.equal(without_small_parts(probabilities, 0.2).argmax(0), found(LUNG, OTHER_LUNG).argmax(0))


def test_probabilities_still_add_up_to_what_they_did():
    kept = without_small_parts(found(LUNG, TABLE) * 2, 0.2)
    assert torch.allclose(kept.sum(0), torch.tensor(2.0))
    assert kept[1:, 16:, 15:, :5].max() == 0


def test_the_share_is_of_the_largest_part_whatever_its_class():
    probabilities = found(LUNG, OTHER_LUNG)
    assert torch.equal(without_small_parts(probabilities, 0.25), probabilities)
    assert torch.equal(without_small_parts(probabilities, 0.26).argmax(0), found(LUNG).argmax(0))


def test_infection_counts_with_the_lung_that_it_touches_by_a_corner():
    focus = (3, (slice(8, 9), slice(10, 11), slice(3, 4)))
    probabilities = found(LUNG, focus)
    assert torch.equal(without_small_parts(probabilities, 0.2), probabilities)


def test_without_a_share_without_parts_and_with_one_part_nothing_changes():
    for probabilities, share in ((found(LUNG, TABLE), 0.0), (found(), 0.2), (found(LUNG), 0.2)):
        assert without_small_parts(probabilities, share) is probabilities
