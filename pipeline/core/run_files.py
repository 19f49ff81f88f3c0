"""Names of the files of a cross-validation's folder that more than one part of the program reads or writes."""

from __future__ import annotations

DATALIST, FOLDS, PREDICTIONS, PROBABILITIES = "datalist.json", "folds.json", "predictions", "probabilities"
METRICS_FILE, SUMMARY_FILE = "metrics.csv", "summary.json"
# The scores of a leave-one-patient-out ensemble
ENSEMBLE_SCORES = "lopo.json"
# In place of train.json, what made label maps that were scored and not made here: its name, label map and coding
SCORED = "scored.json"
# The terms of the data that a run's weights are from, where it says them itself
DATA_LICENCE_FILE = "data_license.txt"
