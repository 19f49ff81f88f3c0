"""Mask R-CNN: its shape on a stand-in for the detector, and torchvision's detector where that can be loaded."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch import nn

from pipeline.core.configuration import INFERENCE, METADATA, TRAIN, merged, networks, optional_networks, presets
from pipeline.core.errors import InputError, input_error_in
from pipeline.losses.own_loss import LabelToNetwork, OwnLoss
from pipeline.networks.instances import instances, semantic_map
from pipeline.networks.mask_rcnn import MaskRCNN
from pipeline.phantom.dataset import write_phantom
from pipeline.scans.front import Front
from pipeline.training.multi_scale import MultiScale

SIZE = (24, 32)
LESION = 3


def bright(image):
    """One detection: class 3 with score 0.9 where the image is above 0.5."""
    return detections([LESION], [0.9], image[:1] > 0.5)


def detections(classes, scores, masks):
    """What a detector of torchvision finds in an image, boxes left out, which nobody reads; masks are (N, H, W)."""
    masks = torch.as_tensor(np.asarray(masks), dtype=torch.float32)[:, None]
    return {"labels": torch.tensor(classes, dtype=torch.int64), "scores": torch.tensor(scores), "masks": masks}


class StandIn(nn.Module):
    """Takes what a detector of torchvision takes, and keeps it; its losses are 2 and the number of instances."""

    def __init__(self, found=bright):
        super().__init__()
        self.transform = SimpleNamespace()
        self.weight = nn.Parameter(torch.ones(()))
        self.found = found

    def forward(self, images, targets=None):
        self.images, self.targets = images, targets
        if self.training:
            count = sum(len(target["boxes"]) for target in targets)
            return {"loss_mask": 2 * self.weight, "loss_box_reg": count * self.weight}
        return [self.found(image) for image in images]


def stand_in(found=bright, **arguments):
    return MaskRCNN(detector=StandIn(found), **arguments)


def two_slices():
    """Class numbers (2, 1, H, W): three instances in the first slice, none in the second."""
    label = torch.zeros(2, 1, *SIZE, dtype=torch.uint8)
    label[0, 0, 2:12, 2:10], label[0, 0, 2:12, 20:30], label[0, 0, 5:9, 4:8] = 1, 2, LESION
    return label


@pytest.fixture
def torchvision():
    """torchvision's detectors; the test is skipped where they cannot be loaded."""
    try:
        from torchvision.models import detection
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be loaded: {error}")
    return detection


def test_it_is_optional():
    assert optional_networks()["mask_rcnn"] == "detection"
    assert "mask_rcnn" not in networks()


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("workflow", [TRAIN, INFERENCE])
def test_every_preset_resolves(workflow, preset):
    content = merged(workflow, "mask_rcnn", preset, {}, {})
    assert (content["name"], content["preset"]) == ("mask_rcnn", preset)
    assert isinstance(ConfigParser(content).get_parsed_content("front"), Front)


@pytest.mark.parametrize("preset", presets())
def test_every_preset_keeps_its_own_loss(preset):
    parser = ConfigParser(merged(TRAIN, "mask_rcnn", preset, {}, {}))
    assert isinstance(parser.get_parsed_content("loss"), OwnLoss)
    assert isinstance(parser.get_parsed_content("prepare_batch"), LabelToNetwork)
    assert parser["val_interval"] == 0


def test_it_has_the_papers_numbers():
    content = merged(TRAIN, "mask_rcnn", "paper", {}, {})
    keys = ("slice_size", "iterations_per_epoch", "max_epochs", "learning_rate")
    assert [content[key] for key in keys] == [[256, 256], 600, 20, 0.0001]


def test_its_optimizer_is_gradient_descent():
    overrides = {"network_def": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}, "spatial_dims": 2}
    optimizer = ConfigParser(merged(TRAIN, "mask_rcnn", "paper", overrides, {})).get_parsed_content("optimizer")
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["lr"] == 0.0001


@pytest.mark.parametrize("installed", [None, SimpleNamespace()], ids=["missing", "broken"])
def test_without_torchvision_it_names_the_extra(monkeypatch, installed):
    for name in ("torchvision", "torchvision.models", "torchvision.models.detection"):
        monkeypatch.setitem(sys.modules, name, installed)
    with pytest.raises(InputError, match=r"^mask_rcnn needs torchvision, .*: pip install \.\[detection\]$") as caught:
        MaskRCNN()
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_torchvision_for_another_torch_names_the_extra(monkeypatch):
    class Finder:
        def find_spec(self, name, *_):
            if name.startswith("torchvision"):
                raise RuntimeError("operator torchvision::nms does not exist\nand more")

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(InputError, match=r"\(operator torchvision::nms does not exist\); .*\.\[detection\]$"):
        MaskRCNN()


def test_a_configuration_without_torchvision_tells_it_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models.detection", None)
    parser = ConfigParser(merged(TRAIN, "mask_rcnn", "demo", {}, {}))
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("network_def")
    assert "pip install .[detection]" in str(input_error_in(caught.value))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_detector_sees_three_channels(channels):
    network = stand_in(in_channels=channels).eval()
    x = torch.randn(2, channels, *SIZE)
    network(x)
    assert torch.equal(torch.stack(network.detector.images), x.expand(2, 3, *SIZE))


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="in_channels is 2, expected 1 or 3"):
        stand_in(in_channels=2)


def test_a_slice_keeps_its_size():
    network = stand_in().eval()
    network(torch.randn(1, 1, *SIZE))
    assert (network.detector.transform.min_size, network.detector.transform.max_size) == ((24,), 32)


def test_the_logits_have_a_channel_a_class():
    assert stand_in(out_channels=5).eval()(torch.randn(2, 1, *SIZE)).shape == (2, 5, *SIZE)


def test_softmax_and_argmax_give_the_semantic_map():
    found = instances(two_slices()[0, 0].numpy())
    classes, scores = found.classes.tolist(), [0.9, 0.7, 0.6]
    logits = stand_in(lambda _: detections(classes, scores, found.masks)).eval()(torch.randn(1, 1, *SIZE))
    assert np.array_equal(logits.softmax(1)[0].argmax(0), semantic_map(classes, scores, found.masks, 4))


@pytest.mark.parametrize(("score_threshold", "number"), [(0.5, LESION), (0.95, 0)])
def test_a_detection_below_the_threshold_is_background(score_threshold, number):
    logits = stand_in(score_threshold=score_threshold).eval()(torch.ones(1, 1, *SIZE))
    assert logits.argmax(1).unique().tolist() == [number]


def test_a_slice_without_detections_is_background():
    network = stand_in(lambda _: detections([], [], np.zeros((0, *SIZE)))).eval()
    logits = network(torch.randn(1, 1, *SIZE))
    assert logits.isfinite().all()
    assert logits.argmax(1).unique().tolist() == [0]


def test_masks_in_bfloat16_are_read():
    def halved(image):
        return {name: found.bfloat16() if found.is_floating_point() else found for name, found in bright(image).items()}

    assert stand_in(halved).eval()(torch.ones(1, 1, *SIZE)).argmax(1).unique().tolist() == [LESION]


def test_in_training_it_gives_the_sum_of_the_detectors_losses():
    assert stand_in()(torch.randn(2, 1, *SIZE), two_slices()).item() == 2 + 3


def test_a_gradient_reaches_the_detector():
    network = stand_in()
    network(torch.randn(2, 1, *SIZE), two_slices()).backward()
    assert network.detector.weight.grad == 5


def test_the_detector_learns_from_the_instances_of_each_slice():
    network = stand_in()
    network(torch.randn(2, 1, *SIZE), two_slices())
    first, second = network.detector.targets
    assert first["labels"].tolist() == [1, 2, LESION]
    assert first["boxes"].tolist() == [[2, 2, 10, 12], [20, 2, 30, 12], [4, 5, 8, 9]]
    assert [tuple(second[name].shape) for name in ("boxes", "labels", "masks")] == [(0, 4), (0,), (0, *SIZE)]


def test_its_targets_have_torchvisions_types():
    network = stand_in()
    network(torch.randn(2, 1, *SIZE), two_slices())
    types = {"boxes": torch.float32, "labels": torch.int64, "masks": torch.uint8}
    assert [{name: value.dtype for name, value in target.items()} for target in network.detector.targets] == [types] * 2


def test_training_without_the_label_is_refused():
    with pytest.raises(ValueError, match=r"needs the label in training: call it as network\(image, label\)"):
        stand_in()(torch.randn(1, 1, *SIZE))


def test_the_network_gets_the_label_of_the_resized_batch():
    prepare = LabelToNetwork(MultiScale(rates=(2.0,), multiple=8))
    batch = {"image": torch.randn(2, 1, *SIZE), "label": two_slices()}
    image, label, arguments, named = prepare(batch, "cpu", False)
    assert image.shape == label.shape == (2, 1, 48, 64)
    assert arguments[0] is label
    assert named == {}


def test_its_own_loss_is_the_loss():
    loss = torch.tensor(3.0)
    assert OwnLoss()(loss, torch.zeros(1)) is loss


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mask_rcnn")
    write_phantom(folder / "phantom", patients=2, coarsening=4.0)
    return folder


def run(kind, folder, tiny_training, network_arguments, **own):
    """The bundle's workflow of a kind, on the coarse phantom."""
    settings = {"cache_dir": str(folder / "cache"), "max_epochs": 1, "iterations_per_epoch": 2}
    content = merged(kind, "mask_rcnn", "demo", {**tiny_training(**network_arguments), **settings}, own)
    file = folder / f"{kind}.json"
    file.write_text(json.dumps(content))
    workflow_type = {TRAIN: "train", INFERENCE: "infer"}[kind]
    workflow = ConfigWorkflow(str(file), meta_file=str(METADATA), logging_file=False, workflow_type=workflow_type)
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()


def trained_and_segmented(folder, name, tiny_training, **network_arguments):
    """Codes of the labels that the bundle gives after a training of two steps."""
    data, out = str(folder / "phantom"), folder / name
    run(TRAIN, folder, tiny_training, network_arguments, dataset_dir=data, output_dir=str(out), folds=2)
    own = {"dataset_dir": data, "model_file": str(out / "fold0" / "model.pt"), "output_dir": str(out / "labels")}
    run(INFERENCE, folder, tiny_training, network_arguments, **own)
    files = sorted((out / "labels").iterdir())
    assert [file.name for file in files] == ["phantom_01.nii.gz", "phantom_02.nii.gz"]
    return set().union(*(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(file)))).tolist() for file in files))


def test_the_bundle_trains_and_segments_with_a_stand_in(phantom, tiny_training):
    detector = {"_target_": "test_mask_rcnn.StandIn"}
    assert trained_and_segmented(phantom, "stand_in", tiny_training, detector=detector) == {0, LESION}


def test_the_bundle_trains_and_segments_with_torchvision(torchvision, phantom, tiny_training):
    assert trained_and_segmented(phantom, "torchvision", tiny_training) <= {0, 1, 2, LESION}


@pytest.mark.parametrize(("out_channels", "count"), [(4, 43_986_279), (2, 43_975_515)])
def test_torchvisions_detector_has_its_parameters(torchvision, out_channels, count):
    with torch.device("meta"):
        network = MaskRCNN(out_channels=out_channels)
    assert sum(weight.numel() for weight in network.parameters() if weight.requires_grad) == count


def test_torchvisions_detector_learns_from_slices_with_and_without_instances(torchvision):
    torch.manual_seed(0)
    network = MaskRCNN()
    loss = network(torch.randn(2, 1, 64, 96), torch.nn.functional.pad(two_slices(), (0, 64, 0, 40)))
    loss.backward()
    assert loss.isfinite()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_torchvisions_detector_sees_a_slice_at_its_own_size(torchvision):
    network, seen = MaskRCNN().eval(), []
    network.detector.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.randn(1, 1, 64, 96)
    assert network(x).shape == (1, 4, 64, 96)
    assert torch.allclose(seen[0], x.expand(1, 3, 64, 96), atol=1e-6)
