"""Two rounds of federated learning by `MonaiAlgo` with one client, told as JSON: `python monai_algo.py BUNDLE DATA`."""

import json
import sys
from pathlib import Path

import torch
from monai.fl.client import MonaiAlgo, MonaiAlgoStats
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType
from monai.fl.utils.exchange_object import ExchangeObject


def main(bundle: str, data: str) -> None:
    given = {"dataset_dir": data, "folds": 3}
    algo = MonaiAlgo(bundle, train_kwargs=dict(given), eval_kwargs=dict(given))
    algo.initialize({ExtraItems.CLIENT_NAME: "hospital"})
    rounds = rounds_of(algo, torch.load(Path(bundle, "models", "model.pt"), weights_only=True))
    kept = {kind.name: algo.get_weights({ExtraItems.MODEL_TYPE: kind}).weights for kind in ModelType}
    statistics = MonaiAlgoStats(bundle, workflow=algo.train_workflow)
    statistics.initialize({})
    found = statistics.get_data_stats(
        {FlStatistics.HIST_BINS: [10], FlStatistics.HIST_RANGE: [[-1500, 500]]}
    ).statistics
    trained = torch.load(Path(bundle, "eval", "fold0", "model.pt"), weights_only=True)
    told = {
        "rounds": rounds,
        "best_is_trained": same(kept["BEST_MODEL"], trained),
        "final_is_last": same(kept["FINAL_MODEL"], algo.trainer.network.state_dict()),
        "counts": {name: found[name][FlStatistics.DATA_COUNT] for name in ("train", "eval")},
        "failed": {name: found[name][FlStatistics.FAIL_COUNT] for name in ("train", "eval")},
    }
    algo.finalize({})
    print(json.dumps(told))


def rounds_of(algo: MonaiAlgo, weights: dict[str, torch.Tensor]) -> list[dict]:
    """What was measured in each round, and how many weights it changed."""
    rounds = []
    for _ in range(2):
        algo.train(ExchangeObject(weights=weights), {})
        changes = algo.get_weights({}).weights
        weights = {name: value + changes[name] for name, value in weights.items()}
        metrics = algo.evaluate(ExchangeObject(weights=weights), {}).metrics
        changed = sum(bool(change.any()) for change in changes.values())
        # A copy, since the evaluator measures into the same one again
        rounds.append({"metrics": dict(metrics), "changed": changed, "epoch": algo.trainer.state.epoch})
    return rounds


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


if __name__ == "__main__":
    main(*sys.argv[1:])
