"""What only a GPU can tell; run with -m gpu on a machine that has one."""

from __future__ import annotations

import pytest
import torch
from augmented import NOISE, OTHER_LABELS, TOLERANCE, augment, case
from monai.bundle import ConfigWorkflow
from network_table import BY_BUNDLE

from pipeline.core.configuration import COMMON, INFERENCE, TRAIN, merged
from pipeline.phantom.dataset import write_phantom
from transforms.batchgenerators_list import DEVICE
from transforms.patch_on_device import collate, prepare_batch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def workflow(name, network, tiny, own):
    overrides = {key: value for key, value in tiny.items() if key != "device"}
    content = merged(name, network, "demo", overrides, own)
    files = {"config_file": str(COMMON / f"{name}.yaml"), "meta_file": str(COMMON / "metadata.json")}
    ready = ConfigWorkflow(**files, logging_file=False, **content)
    ready.initialize()
    return ready


@pytest.mark.parametrize(
    ("network", "augment_on"),
    [
        *((network, "loader") for network in ("unet_3d", "anam_net", "inf_net", "mini_seg", "raiu_net")),
        *((network, "device") for network in ("unet_3d", "anam_net")),
    ],
)
def test_a_fold_trains_on_the_gpu_and_its_model_segments_on_the_cpu(network, augment_on, tiny_training, tmp_path):
    data, out, tiny = tmp_path / "phantom", tmp_path / "cv", tiny_training(**BY_BUNDLE[network].tiny)
    tiny["augment_on"] = augment_on
    write_phantom(data, patients=3, coarsening=3.0)
    own = {"dataset_dir": str(data), "output_dir": str(out), "cache_dir": str(tmp_path / "cache"), "folds": 3}
    training = workflow(TRAIN, network, tiny, own)
    training.run()
    trainer = training.parser.get_parsed_content("train::trainer")
    assert next(trainer.network.parameters()).is_cuda
    assert torch.isfinite(torch.tensor(trainer.state.metrics["train_loss"]))
    own = {"dataset_dir": str(data), "output_dir": str(tmp_path / "labels"), "device": "$torch.device('cpu')"}
    workflow(INFERENCE, network, tiny, {**own, "model_file": str(out / "fold0" / "model.pt")}).run()
    assert len(list((tmp_path / "labels").iterdir())) == 3


def test_gpu_and_cpu_give_the_same_logits_in_float32():
    from pipeline.networks.miscnn_unet import MIScnnUNet

    torch.manual_seed(0)
    network = MIScnnUNet(features=(4, 8, 16)).eval()
    image = torch.randn(1, 1, 32, 32, 16)
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        expected = network(image)
        torch.testing.assert_close(network.cuda()(image.cuda()).cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_gpu_finishes_the_patches_that_the_cpu_finishes(dims, order):
    transform = augment(DEVICE, dims, probability=0.5, augment_order=order, **{NOISE: 0.0})
    batch = collate([transform.set_random_state(seed)(case(dims)) for seed in range(20)])
    with torch.backends.cudnn.flags(allow_tf32=False):
        there, here = prepare_batch(batch, torch.device("cuda")), prepare_batch(batch)
    assert there[0].is_cuda
    differs = (there[0].cpu() - here[0]).abs() > TOLERANCE
    assert differs.float().mean() <= (OTHER_LABELS if order == 0 else 0)
    assert (there[1].cpu() != here[1]).float().mean() <= OTHER_LABELS


def test_noise_on_the_gpu_depends_on_its_draw_alone():
    transform = augment(DEVICE, probability=1.0)
    batch = collate([transform.set_random_state(3)(case(3))])
    one, other = (prepare_batch(batch, torch.device("cuda"))[0] for _ in range(2))
    assert torch.equal(one, other)
