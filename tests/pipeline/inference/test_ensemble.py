"""Several networks as one: what their votes and means come to, voxel by voxel."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pipeline.core.errors import InputError
from pipeline.inference.ensemble import (
    MEAN,
    VOTE,
    ChooseVoters,
    Ensemble,
    EnsembleWithDisagreement,
    check_method,
    load_members,
    parse_weights,
)
from pipeline.inferers.windows import MirroredWindows

VOXEL = torch.zeros(1, 1, 1, 1, 1)


class Always(torch.nn.Module):
    """Gives every voxel the same probabilities."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.logits = torch.tensor(probabilities).log()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits.view(1, -1, 1, 1, 1).expand(image.shape[0], -1, *image.shape[2:])


def probabilities(ensemble: Ensemble) -> list[float]:
    return ensemble(VOXEL).softmax(1).flatten().tolist()


def test_a_mean_is_of_probabilities_and_not_of_logits():
    assert probabilities(Ensemble([Always(0.9, 0.1), Always(0.5, 0.5)], MEAN)) == pytest.approx([0.7, 0.3])


def test_a_mean_may_be_weighted():
    weighted = Ensemble([Always(0.9, 0.1), Always(0.5, 0.5)], MEAN, weights=[3, 1])
    assert probabilities(weighted) == pytest.approx([0.8, 0.2])


def test_a_majority_outvotes_a_minority_that_is_surer():
    sure = Always(0.999, 0.001)
    votes = probabilities(Ensemble([sure, sure, Always(0.49, 0.51), Always(0.49, 0.51), Always(0.49, 0.51)], VOTE))
    assert votes[1] > votes[0]


@pytest.mark.parametrize("surer", [0.9, 0.1])
def test_the_mean_probability_decides_a_tie(surer):
    mine, against = Always(1 - surer, surer), Always(surer / 2 + 0.25, 0.75 - surer / 2)
    votes = probabilities(Ensemble([mine, against], VOTE))
    assert (votes[1] > votes[0]) == (surer > 0.5)


def test_of_three_classes_the_most_votes_win_without_a_majority():
    networks = [Always(0.8, 0.1, 0.1), Always(0.1, 0.8, 0.1), Always(0.2, 0.2, 0.6), Always(0.2, 0.2, 0.6)]
    votes = probabilities(Ensemble(networks, VOTE))
    assert votes.index(max(votes)) == 2


@pytest.mark.parametrize("method", [MEAN, VOTE])
def test_a_single_voter_answers_as_it_would_alone(method):
    ensemble = Ensemble([Always(0.9, 0.1), Always(0.3, 0.7)], method)
    ensemble.voters = [1]
    assert probabilities(ensemble) == pytest.approx([0.3, 0.7])


def test_who_is_no_voter_is_not_asked():
    ensemble = Ensemble([Always(0.9, 0.1), Always(0.3, 0.7), Always(0.5, 0.5)], MEAN, weights=[100, 1, 1])
    ensemble.voters = [1, 2]
    assert probabilities(ensemble) == pytest.approx([0.4, 0.6])


def test_a_member_votes_by_its_threshold():
    ensemble = Ensemble([Always(0.7, 0.3), Always(0.7, 0.3), Always(0.9, 0.1)], VOTE, factors=[1.0, 4.0])
    votes = probabilities(ensemble)
    assert votes[1] > votes[0]


@pytest.mark.parametrize(("method", "expected"), [(MEAN, 0.25), (VOTE, 0.25)])
def test_disagreement_is_the_share_of_voters_that_chose_another_class(method, expected):
    networks = [Always(0.1, 0.9), Always(0.1, 0.9), Always(0.1, 0.9), Always(0.9, 0.1)]
    assert EnsembleWithDisagreement(networks, method)(VOXEL)[0, -1].item() == pytest.approx(expected)


def test_disagreement_counts_weights():
    networks = [Always(0.1, 0.9), Always(0.9, 0.1)]
    assert EnsembleWithDisagreement(networks, MEAN, [3, 1])(VOXEL)[0, -1].item() == pytest.approx(0.25)


def test_disagreement_leaves_the_answer_as_it_is():
    networks = [Always(0.2, 0.8), Always(0.9, 0.1)]
    assert torch.equal(EnsembleWithDisagreement(networks, MEAN)(VOXEL)[:, :-1], Ensemble(networks, MEAN)(VOXEL))


def test_in_overlapping_windows_equal_members_are_one_of_them():
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 3, 3, padding=1)
    volume = torch.randn(1, 1, 12, 12, 8)
    windows = MirroredWindows(roi_size=(8, 8, 8), overlap=0.5)
    with torch.no_grad():
        alone, together = (windows(volume, one).softmax(1) for one in (network, Ensemble([network] * 3, MEAN)))
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(("method", "weights"), [(VOTE, None), (MEAN, [2, 1])])
def test_torchscript_of_an_ensemble_gives_what_it_gives(method, weights):
    torch.manual_seed(0)
    networks = [torch.nn.Conv3d(1, 3, 3) for _ in range(2)]
    ensemble = EnsembleWithDisagreement(networks, method, weights, factors=[1.0, 1.0, 4.0])
    image = torch.rand(2, 1, 8, 8, 8)
    assert torch.equal(torch.jit.script(ensemble)(image), ensemble(image))


def test_members_that_were_trained_later_vote_in_place_of_the_first_ones(tmp_path):
    trained, ensemble = torch.nn.Conv3d(1, 2, 1), Ensemble([torch.nn.Conv3d(1, 2, 1) for _ in range(3)])
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    load_members(ensemble, [tmp_path / "model.pt"])
    assert torch.allclose(ensemble(VOXEL), trained(VOXEL).log_softmax(1))


def test_more_trained_members_than_an_ensemble_has_are_refused():
    with pytest.raises(InputError, match="has 1 members"):
        load_members(Ensemble([Always(0.9, 0.1)]), ["a.pt", "b.pt"])


def test_a_probability_of_zero_stays_finite():
    assert torch.isfinite(Ensemble([Always(1.0, 0.0)], MEAN)(VOXEL)).all()


def test_voters_are_those_of_the_case_and_all_where_it_names_none():
    ensemble = Ensemble([Always(0.9, 0.1)] * 3)
    handler = ChooseVoters(ensemble, [{"voters": [2]}, {}])
    asked = []
    for iteration in (1, 2):
        handler.choose(SimpleNamespace(state=SimpleNamespace(iteration=iteration)))
        asked.append(list(ensemble.voters))
    assert asked == [[2], [0, 1, 2]]


@pytest.mark.parametrize(
    ("method", "weights", "said"),
    [
        ("median", None, "METHOD is 'median'"),
        (VOTE, [1.0, 2.0], "every member has one vote"),
        (MEAN, [1.0], "expected 2 numbers"),
        (MEAN, [1.0, -1.0], "none below 0"),
        (MEAN, [0.0, 0.0], "not all 0"),
    ],
)
def test_a_way_of_combining_that_is_none_is_refused(method, weights, said):
    with pytest.raises(InputError, match=said):
        check_method(method, weights, 2)


@pytest.mark.parametrize(("text", "numbers"), [("", None), ("2 1", [2.0, 1.0]), ("2,1.5", [2.0, 1.5])])
def test_weights_are_read_from_text(text, numbers):
    assert parse_weights(text) == numbers


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="WEIGHTS are 'a b'"):
        parse_weights("a b")


def test_a_mean_of_tempered_probabilities_stands_before_the_disagreement_and_changes_no_answer():
    networks = [Always(0.8, 0.2), Always(0.1, 0.9)]
    tempers = EnsembleWithDisagreement(networks, MEAN, [3, 1], temperatures=[2.0, 1.0], infection=[1])
    plain = EnsembleWithDisagreement(networks, MEAN, [3, 1])
    answer = tempers(VOXEL)
    # The odds of 0.2 are a quarter, whose root is a half: 1/3
    assert answer[0, -2].item() == pytest.approx((3 * 1 / 3 + 0.9) / 4)
    assert torch.equal(answer[:, [0, 1, 3]], plain(VOXEL))
