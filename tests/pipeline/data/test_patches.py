"""Which case and which random numbers come next depends on the seed and the draw's number alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from batchgenerators.transforms.color_transforms import BrightnessMultiplicativeTransform
from ignite.engine import Engine
from monai.transforms import Compose, Lambdad, RandSpatialCropd
from torch.utils.data import DataLoader

from pipeline.core.errors import InputError
from pipeline.data.patches import DrawSampler, PatchDataset
from pipeline.scans.front import Front
from pipeline.scans.scan import file_sha256
from transforms.batchgenerators_list import BatchgeneratorsListd

FRONT, KEYS = Front(spacing_mm=(1.9, 1.6, 2.4)), ("image", "label")
DRAWS = [(0, 11), (1, 12), (0, 13), (1, 11)]


@pytest.fixture
def patches(tmp_path: Path, make_cases: Any) -> PatchDataset:
    """8 x 8 x 6 patches of two cases, brighter or darker."""
    brighten = BatchgeneratorsListd(KEYS, [BrightnessMultiplicativeTransform((0.5, 2.0))])
    transform = Compose([RandSpatialCropd(KEYS, (8, 8, 6), random_size=False), brighten])
    return PatchDataset(make_cases(tmp_path, 2), FRONT, tmp_path / "cache", transform)


@pytest.fixture
def make_slices(tmp_path: Path, make_cases: Any) -> Any:
    """Maker of the untransformed axial slices of two cases."""
    cases, cache = make_cases(tmp_path, 2), tmp_path / "cache"
    return partial(PatchDataset, cases, FRONT, cache, Compose([]), slice_wise=True)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["case"] == other["case"] and all(torch.equal(one[key], other[key]) for key in KEYS)


@pytest.mark.parametrize("turn", range(3))
def test_every_sample_is_visited_once_a_round(turn):
    sampler = DrawSampler(samples=7, draws=10, seed=3)
    assert sorted(sampler.draw(7 * turn + place)[0] for place in range(7)) == list(range(7))


def test_rounds_are_shuffled_anew():
    sampler = DrawSampler(samples=20, draws=10)
    assert [sampler.draw(number)[0] for number in range(20)] != [sampler.draw(20 + number)[0] for number in range(20)]


def test_the_same_seed_and_number_give_the_same_draw():
    # Neither the length of an epoch nor the processes count.
    one, other = DrawSampler(5, draws=10, seed=3), DrawSampler(5, draws=4, seed=3, rank=1, world_size=2)
    assert [one.draw(number) for number in range(30)] == [other.draw(number) for number in range(30)]


def test_another_seed_gives_other_draws():
    one, other = DrawSampler(5, draws=10, seed=3), DrawSampler(5, draws=10, seed=4)
    assert not {one.draw(number)[1] for number in range(30)} & {other.draw(number)[1] for number in range(30)}


def test_a_sampler_yields_the_draws_of_an_epoch():
    sampler = DrawSampler(samples=5, draws=4)
    assert list(sampler) == [sampler.draw(number) for number in range(4)]


def test_epochs_continue_the_stream():
    sampler, seen = DrawSampler(samples=5, draws=4), []
    trainer = Engine(lambda engine, draw: seen.append(draw))
    sampler.attach(trainer)
    trainer.run(sampler, max_epochs=3)
    assert seen == [sampler.draw(number) for number in range(12)]


@pytest.mark.parametrize("draws", [6, 7])
def test_two_processes_together_draw_what_one_draws(draws):
    alone = list(DrawSampler(5, draws))
    first, second = (list(DrawSampler(5, draws, rank=rank, world_size=2)) for rank in (0, 1))
    assert (alone[::2], alone[1::2]) == (first, second)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_length_is_the_number_of_draws_of_a_process(rank):
    sampler = DrawSampler(5, draws=7, rank=rank, world_size=2)
    assert len(sampler) == len(list(sampler))


def test_a_draw_gives_the_same_patch_in_any_order(patches):
    forward = [patches[draw] for draw in DRAWS]
    backward = [patches[draw] for draw in reversed(DRAWS)]
    assert all(same(one, other) for one, other in zip(forward, reversed(backward), strict=True))


def test_another_seed_gives_another_patch_of_the_case(patches):
    assert not same(patches[0, 11], patches[0, 13])


def test_workers_give_the_same_patches(patches):
    here, there = (list(DataLoader(patches, batch_size=None, sampler=DRAWS, num_workers=n)) for n in (0, 2))
    assert all(same(one, other) for one, other in zip(here, there, strict=True))


def test_a_data_set_is_as_long_as_it_has_cases(patches):
    assert len(patches) == 2


def test_a_failing_transform_names_the_case_and_the_draw(tmp_path, make_cases):
    failing = Compose([Lambdad("image", lambda image: image.no_such_thing)])
    patches = PatchDataset(make_cases(tmp_path, 2), FRONT, tmp_path / "cache", failing)
    with pytest.raises(RuntimeError, match=r"^case case_1 \(draw seed 11\): .*"):
        patches[1, 11]


def test_no_case_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no case to draw patches from"):
        PatchDataset([], FRONT, tmp_path, Compose([]))


def test_slice_wise_every_axial_slice_of_every_case_is_a_sample(make_slices):
    slices = make_slices()
    depths = [slices.cache.load(case)["label"].shape[-1] for case in slices.data]
    assert slices.samples == [((case,), number) for case in (0, 1) for number in range(depths[case])]


def test_a_slice_keeps_its_axis_and_is_the_cases_own(make_slices):
    slices = make_slices()
    whole = slices.cache.load(slices.data[1])
    sample = slices[slices.samples.index(((1,), 4)), 0]
    assert all(np.array_equal(sample[key], whole[key][..., 4:5]) for key in KEYS)


def test_slices_with_too_few_labelled_pixels_are_left_out(make_slices):
    slices = make_slices(min_labelled_pixels=20)
    labelled = [
        (slices.cache.load(slices.data[case])["label"][..., number] > 0).sum()
        for (case,), number in make_slices().samples
    ]
    assert len(slices) == sum(pixels >= 20 for pixels in labelled) < len(labelled)


def test_no_slice_with_enough_labelled_pixels_is_an_error(make_slices):
    with pytest.raises(InputError, match=r"^min_labelled_pixels is 9999, but no slice has more than \d+; lower it\.$"):
        make_slices(min_labelled_pixels=9999)


@pytest.mark.parametrize("slice_wise", [True, False])
def test_label_codes_are_counted_over_all_samples(make_slices, slice_wise):
    slices = make_slices(slice_wise=slice_wise)
    labels = np.concatenate([slices.cache.load(case)["label"].ravel() for case in slices.data])
    assert slices.code_counts().tolist() == np.bincount(labels, minlength=6).tolist()


@pytest.fixture
def mixed(tmp_path: Path, make_cases: Any) -> Any:
    """Maker of a data set of two volumes and five single slices, and of the names of its slices."""
    cases = make_cases(tmp_path, 2)
    for number in range(5):
        slice_case = {**cases[0], "case": f"slice_{number}"}
        for key in KEYS:
            volume = sitk.ReadImage(cases[0][key])
            file = tmp_path / f"{key}_{number}.nii.gz"
            sitk.WriteImage(volume[:, :, 6 + number : 7 + number], str(file))
            slice_case |= {key: str(file), f"{key}_sha256": file_sha256(file)}
        cases.append(slice_case)
    front = Front(spacing_mm=(1.9, 1.6, 0))
    return partial(PatchDataset, cases, front, tmp_path / "cache", Compose([]))


def test_so_many_single_slices_are_drawn_as_often_as_a_volume(mixed):
    together = mixed(slices_as_a_scan=3)
    # Two volumes, and the five slices by three and two
    assert len(together) == 4
    drawn = [{together[index, seed]["case"] for seed in range(12)} for index in range(4)]
    assert [len(names) for names in drawn] == [1, 1, 3, 2]
    assert set.union(*drawn[2:]) == {f"slice_{number}" for number in range(5)}


def test_each_slice_may_count_as_much_as_a_volume(mixed):
    assert len(mixed(slices_as_a_scan=1)) == 7


def test_voxels_of_all_slices_are_counted(mixed):
    assert np.array_equal(mixed(slices_as_a_scan=3).code_counts(), mixed(slices_as_a_scan=1).code_counts())


def test_of_a_slice_wise_data_set_each_slice_is_a_sample(mixed):
    data = mixed(slice_wise=True, slices_as_a_scan=3)
    assert len(data) == sum(len(data.cache.counts(case)) for case in data.data)


def test_a_failing_transform_names_the_slice(make_slices):
    slices = make_slices()
    slices.transform = Compose([Lambdad("image", lambda image: image.no_such_thing)])
    with pytest.raises(RuntimeError, match=r"^case case_0, slice 3 \(draw seed 11\): .*"):
        slices[3, 11]
