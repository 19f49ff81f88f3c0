import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss, DiceLoss, FocalLoss, TverskyLoss

from pipeline.core.annotation import IGNORED, NO_INFECTION, NO_LUNGS, NO_SIDES, PLACE
from pipeline.core.errors import InputError
from pipeline.core.labels import label_map
from pipeline.losses.cross_entropy import CrossEntropy
from pipeline.losses.inf_net import InfNetLoss, OneHotCrossEntropy
from pipeline.losses.marginal import MarginalLoss, one_hot_pair
from pipeline.losses.own_loss import LabelToNetwork, OwnLoss

CLASSES = label_map("lungs_infection")
BACKGROUND, LEFT, RIGHT, INFECTION = range(4)
LOSSES = {
    "cross-entropy": CrossEntropy(weight=torch.tensor([1.0, 2.0, 2.0, 5.0])),
    "Dice and cross-entropy": DiceCELoss(softmax=True, to_onehot_y=True, lambda_dice=4.0),
    "Tversky": TverskyLoss(softmax=True, to_onehot_y=True, batch=True),
    "focal": FocalLoss(use_softmax=True, to_onehot_y=True),
}


def logits(seed=0, size=(3, 4), batch=2):
    return torch.randn(batch, 4, *size, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def gradient(loss, given):
    return torch.autograd.grad(loss, given)[0]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_batch_that_annotates_everything_has_the_same_loss_and_gradient_bit_for_bit(loss):
    given, target = logits(), torch.arange(24, dtype=torch.uint8).reshape(2, 1, 3, 4) % 4
    expected, found = loss(given, target), MarginalLoss(loss, CLASSES)(given, target)
    assert torch.equal(found, expected)
    assert torch.equal(gradient(found, given), gradient(expected, given))


@pytest.mark.parametrize(
    ("untold", "shown", "allowed"),
    [
        (NO_LUNGS, BACKGROUND, [BACKGROUND, LEFT, RIGHT]),
        (NO_LUNGS, INFECTION, [INFECTION]),
        (NO_INFECTION, LEFT, [LEFT, INFECTION]),
        (NO_INFECTION, RIGHT, [RIGHT, INFECTION]),
        (NO_INFECTION, BACKGROUND, [BACKGROUND]),
        (NO_SIDES, RIGHT, [LEFT, RIGHT]),
        (NO_SIDES, LEFT, [LEFT, RIGHT]),
        (NO_SIDES, INFECTION, [INFECTION]),
        (NO_SIDES + NO_INFECTION, RIGHT, [LEFT, RIGHT, INFECTION]),
    ],
)
def test_cross_entropy_is_minus_the_logarithm_of_the_sum_of_what_the_label_allows(untold, shown, allowed):
    given = logits()
    target = torch.full((2, 1, 3, 4), PLACE * untold + shown, dtype=torch.uint8)
    found = MarginalLoss(CrossEntropy(), CLASSES)(given, target)
    expected = -given.softmax(1)[:, allowed].sum(1).log().mean()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, given), gradient(expected, given))


def test_merged_probabilities_are_sums_and_those_of_the_merged_classes_nothing():
    given = logits()
    target = torch.full((2, 1, 3, 4), PLACE * NO_LUNGS, dtype=torch.uint8)
    merged = MarginalLoss(CrossEntropy(), CLASSES).merged(given, target).softmax(1)
    before = given.softmax(1)
    torch.testing.assert_close(merged[:, BACKGROUND], before[:, :INFECTION].sum(1))
    torch.testing.assert_close(merged[:, INFECTION], before[:, INFECTION])
    assert not merged[:, [LEFT, RIGHT]].any()


def test_dice_of_an_infection_mask_is_that_of_two_classes():
    given = logits()
    infected = torch.arange(24).reshape(2, 1, 3, 4) % 3 == 0
    target = torch.where(infected, INFECTION, BACKGROUND).to(torch.uint8) + PLACE * NO_LUNGS
    dice = DiceLoss(softmax=True, to_onehot_y=True, reduction="none")
    found = MarginalLoss(dice, CLASSES)(given, target)[:, INFECTION].mean()
    probability = given.softmax(1)[:, [INFECTION]]
    expected = DiceLoss(reduction="none")(probability, infected.float()).mean()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, given), gradient(expected, given))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_ignored_voxels_have_exactly_no_gradient_and_others_have_one(loss):
    given = logits()
    target = torch.zeros(2, 1, 3, 4, dtype=torch.uint8)
    target[:, :, 0], target[:, :, 1] = IGNORED, LEFT
    found = gradient(MarginalLoss(loss, CLASSES)(given, target), given)
    assert not found[:, :, 0].any()
    assert found[:, :, 1:].abs().sum(1).min() > 0


def test_cross_entropy_of_an_ignored_voxel_is_0():
    target = torch.full((2, 1, 3, 4), IGNORED + PLACE * NO_INFECTION, dtype=torch.uint8)
    assert MarginalLoss(CrossEntropy(), CLASSES)(logits(), target) == 0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_one_batch_holds_whole_and_partial_labels(loss):
    given = logits()
    target = torch.zeros(2, 1, 3, 4, dtype=torch.uint8)
    target[0, :, 1] = RIGHT
    target[1] = PLACE * NO_LUNGS
    target[1, :, 2] += INFECTION
    slopes = gradient(MarginalLoss(loss, CLASSES)(given, target), given)
    assert slopes.isfinite().all()
    # To raise the merged class, all of it is raised in proportion to its probabilities
    share = given.detach().softmax(1)[1, :INFECTION]
    expected = share / share.sum(0) * slopes[1, :INFECTION].sum(0)
    torch.testing.assert_close(slopes[1, :INFECTION], expected)


def test_heads_of_their_own_size_are_merged_by_the_nearest_voxel():
    full, half = logits(size=(4, 4)), logits(1, size=(2, 2))
    target = torch.full((2, 1, 4, 4), PLACE * NO_INFECTION + LEFT, dtype=torch.uint8)
    target[:, :, 2:] = IGNORED
    heads = DeepSupervisionLoss(CrossEntropy(), weights=[1.0, 0.5])
    found = MarginalLoss(heads, CLASSES)([full, half], target)
    allowed = [given.softmax(1)[:, [LEFT, INFECTION]].sum(1) for given in (full, half)]
    expected = -allowed[0][:, :2].log().sum() / allowed[0].numel() - allowed[1][:, 0].log().sum() / 2 / 8
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_two_bytes_give_finite_gradients(dtype):
    given = (30 * logits().detach()).to(dtype).requires_grad_()
    target = torch.full((2, 1, 3, 4), PLACE * NO_LUNGS, dtype=torch.uint8)
    target[:, :, 0] += INFECTION
    target[:, :, 1] += IGNORED
    assert gradient(MarginalLoss(LOSSES["Dice and cross-entropy"], CLASSES)(given, target), given).isfinite().all()


@pytest.mark.parametrize(
    "loss", [InfNetLoss(), OneHotCrossEntropy(), OwnLoss(), DiceLoss(sigmoid=True), DeepSupervisionLoss(FocalLoss())]
)
def test_a_loss_without_softmax_refuses_partial_labels(loss):
    target = torch.full((2, 1, 3, 4), PLACE * NO_LUNGS, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"has no softmax over the classes, .* need; choose another network or loss"):
        MarginalLoss(loss, CLASSES)(logits(), target)


def test_a_network_with_a_loss_of_its_own_refuses_partial_labels():
    label = torch.full((1, 1, 2, 2), IGNORED)
    with pytest.raises(InputError, match=r"^this network computes its loss itself, of labels"):
        LabelToNetwork(lambda: (torch.zeros(1, 1, 2, 2), label))()


def test_metrics_see_what_the_label_allows():
    numbers = torch.tensor([[[[LEFT, RIGHT, INFECTION, INFECTION]]]])
    target = torch.tensor([[[[0, 0, INFECTION, IGNORED]]]], dtype=torch.uint8) + PLACE * NO_LUNGS
    found = one_hot_pair(torch.nn.functional.one_hot(numbers[:, 0], 4).movedim(-1, 1).float(), target, CLASSES)
    assert [one.argmax(1).flatten().tolist() for one in found] == [[0, 0, INFECTION, 0]] * 2
