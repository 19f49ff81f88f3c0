"""Batches at several sizes in turn, and gradients within bounds."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer

from pipeline.training.gradient_clipping import ClipGradients
from pipeline.training.multi_scale import MultiScale


def batch(size: tuple[int, ...] = (64, 96)) -> dict[str, torch.Tensor]:
    label = torch.zeros(2, 1, *size, dtype=torch.uint8)
    label[..., :32] = 3
    return {"image": torch.randn(2, 1, *size), "label": label}


def sizes_of_steps(scales: MultiScale, steps: int) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []
    trainer = Engine(lambda engine, data: seen.append(tuple(scales(data)[0].shape[2:])))
    scales.attach(trainer)
    trainer.run([batch()] * steps)
    return seen


def test_the_rates_take_turns_and_sizes_are_rounded_to_the_multiple():
    assert sizes_of_steps(MultiScale([1.0, 0.5, 1.3]), 4) == [(64, 96), (32, 64), (96, 128), (64, 96)]


def test_a_resumed_training_goes_on_with_the_rate_of_its_step():
    scales, seen = MultiScale([1.0, 0.5]), []
    trainer = Engine(lambda engine, data: seen.append(tuple(scales(data)[0].shape[2:])))
    scales.attach(trainer)
    trainer.load_state_dict({"iteration": 3, "epoch_length": 1, "max_epochs": 5})
    trainer.run([batch()], max_epochs=5, epoch_length=1)
    assert seen == [(32, 64), (64, 96)]


def test_image_and_label_are_resized_together_and_no_class_is_invented():
    scales = MultiScale([0.5])
    image, label = scales(batch())
    assert image.shape == label.shape
    assert label.dtype == torch.uint8
    assert label.unique().tolist() == [0, 3]


def test_one_leaves_a_batch_as_it_is():
    given = batch((33, 7))
    image, label = MultiScale()(given)
    assert torch.equal(image, given["image"])
    assert torch.equal(label, given["label"])


@pytest.mark.parametrize(("limit", "largest"), [(0.5, 0.5), (1e6, 64 * 96 * 2.0)])
def test_gradients_are_clipped_before_the_step(limit, largest):
    network = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.zeros_(network.weight)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch()],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda prediction, label: prediction.sum(),
        train_handlers=[ClipGradients(limit)],
        decollate=False,
    )
    before = network.bias.item()
    trainer.run()
    assert before - network.bias.item() == pytest.approx(largest)
