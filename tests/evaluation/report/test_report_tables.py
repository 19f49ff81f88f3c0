"""Tables of scores and of facts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from evaluation.measures.cases import NUMBERS
from evaluation.report import facts
from evaluation.report.page import part
from evaluation.report.run import Run, Stage
from evaluation.report.score_tables import case_table, fold_table, interval_of, paper_fold_table, structure_table
from evaluation.report.tables import Cell, Table, share_cell
from evaluation.statistics.summary import summarise


def row(case, structure="infection", fold=0, dice=0.5, patient_id=None, **more):
    scores = {**dict.fromkeys(NUMBERS, 0.5), "dice": dice, "reference_ml": 20.0, "prediction_ml": 5.25}
    return {"case": case, "patient_id": patient_id or case, "fold": fold, "structure": structure, **scores, **more}


def texts(cells):
    return [cell.text for cell in cells]


def run_of(settings, trainings=None, **more):
    stage = Stage("", settings, trainings or {})
    fields = {"cases": {}, "datalist": {}, "folds": {}, "rows": (), **more}
    return Run(folder=Path("cv"), stages=(stage,), **{"dataset_dir": Path("/home/someone/scans"), **fields})


def test_a_structure_has_mean_deviation_median_and_range():
    table = structure_table([row("a", dice=0.4), row("b", dice=0.8), row("c", dice=math.nan)])
    assert texts(table.body[0]) == ["infection", "Dice", "0.600 ± 0.283", "0.600", "0.400 to 0.800", "2"]


def test_a_metric_that_is_defined_nowhere_is_a_dash():
    table = structure_table([row("a", dice=math.nan)])
    assert texts(table.body[0])[2:] == ["-", "-", "-", "0"]


def test_intervals_have_a_column_where_they_are_given():
    table = structure_table([row("a"), row("b")], interval=lambda values, patients: (0.25, 0.75))
    assert table.columns[3] == "95 % interval of the mean"
    assert table.body[0][3].text == "0.250 to 0.750"


def test_without_intervals_there_is_no_column_for_them():
    assert not any("interval" in column for column in structure_table([row("a")]).columns)


def test_an_interval_is_of_the_defined_values_and_their_patients():
    given = []
    rows = [row("a", dice=0.4, patient_id="p"), row("b", dice=math.nan), row("c", dice=0.6, patient_id="p")]
    interval_of(rows, "infection", "dice", lambda *values_and_patients: given.append(values_and_patients))
    assert given == [([0.4, 0.6], ["p", "p"])]


def test_the_folds_end_with_their_mean_and_the_papers():
    rows = [row(f"case_{fold}", name, fold) for fold in (0, 1) for name in ("left_lung", "right_lung", "infection")]
    table = paper_fold_table(summarise(rows))
    assert [texts(cells)[:2] for cells in table.body] == [["0", "1"], ["1", "1"]]
    assert texts(table.foot[1])[2:] == ["0.956", "0.956", "0.998", "0.761", "0.730", "0.999"]


def test_folds_of_other_structures_have_their_median_dice():
    rows = [row("a", dice=0.2), row("b", dice=0.4), row("c", dice=0.9), row("d", fold=1, dice=0.7)]
    assert [texts(cells) for cells in fold_table(rows).body] == [["0", "3", "0.400"], ["1", "1", "0.700"]]


def test_a_case_has_its_dice_and_volumes_and_leads_to_its_pictures():
    table = case_table([row("b"), row("a")], "infection", {("b", 0): 3})
    assert texts(table.body[1]) == ["b", "0", "0.500", "20", "5.2"]
    assert [cells[0].shown for cells in table.body] == [None, 3]


def test_patients_are_named_where_they_are_not_the_cases():
    assert case_table([row("a", patient_id="p")], None, {}).columns[1] == "patient"


def test_a_case_that_lacks_a_structure_has_a_dash():
    table = case_table([row("a"), row("b"), row("b", "lungs")], "infection", {})
    assert texts(table.body[0])[2:4] == ["-", "0.500"]


@pytest.mark.parametrize(("cell", "key"), [(share_cell(0.1234), "0.1234"), (share_cell(math.nan), ""), (Cell("-"), "")])
def test_a_cell_is_sorted_by_its_exact_value_or_not_at_all(cell, key):
    assert cell.key == key


def test_a_name_is_shown_as_it_is_and_never_as_part_of_the_page():
    shown = part("table", table=Table("", ("case",), [[Cell("<script>")]]))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_a_cell_over_several_rows_leaves_the_other_cells_in_their_columns():
    table = Table("", ("a", "b"), [[Cell("x", rows=2), Cell("1")], [Cell("2")]])
    shown = part("table", table=table)
    assert shown.count("<th scope=") == 3
    assert '<th scope="rowgroup" rowspan="2" class="text">x</th>' in shown


def test_settings_are_told_in_words_and_expressions_not_at_all():
    told = facts.setting_facts(Stage("", {"loss": "@dice_ce", "augmentations": ["@mirror"], "weights_of": "$best()"}))
    assert told == {"loss": "dice ce", "augmentations": "mirror"}


def test_a_spacing_of_0_is_the_scans_own():
    assert facts.setting_facts(Stage("", {"spacing_mm": [1.5, 1.5, 0.0]}))["voxels (mm)"] == "1.5 x 1.5 x as scanned"


def test_equal_data_have_equal_fingerprints_in_any_order():
    entries = [{"image_sha256": "a", "label_sha256": "b"}, {"image_sha256": "c", "label_sha256": "d"}]
    assert facts.fingerprint(entries) == facts.fingerprint(entries[::-1]) != facts.fingerprint(entries[:1])


def test_nobodys_folders_are_told():
    settings = {"name": "unet_3d", "label_map": "infection", "split": "/home/someone/split.json"}
    entry = {"case": "a", "patient_id": "a", "spacing_mm": [1, 1, 2], "intensity": "hu"}
    run = run_of(settings, cases={"a": entry})
    assert "/home" not in str([facts.experiment_facts(run), facts.data_facts(run)])


def test_versions_of_all_folds_are_told_once_each():
    trainings = {
        fold: {"torch": torch, "provenance": {"monai": "1.6"}} for fold, torch in enumerate(["2.6", "2.13", "2.6"])
    }
    assert facts.software_facts(run_of({}, trainings)) == {"torch": "2.6, 2.13", "monai": "1.6"}


def test_the_times_of_all_trainings_are_added_up():
    table = facts.training_table(run_of({}, {0: {"seconds": 90}, 1: {"seconds": 30}}))
    assert "2.0" in texts(table.foot[0])


def test_how_long_a_case_took_to_segment_has_a_column_where_it_is_known():
    assert "segmenting" not in str(facts.training_table(run_of({}, {0: {}})).columns)
    stage = Stage("", {}, trainings={0: {}}, segmentations={0: {"cases": 4, "seconds": 10.0}})
    run = Run(Path("cv"), (stage,), Path("scans"), cases={}, datalist={}, folds={}, rows=())
    assert facts.training_table(run).body[0][-1].text == "2.5"


def test_without_a_finished_training_there_is_no_table_of_them():
    assert facts.training_table(run_of({})) is None


def test_every_scan_has_the_beginning_of_its_hash():
    table = facts.hash_table([{"case": "a", "image_sha256": "0123456789abcdef", "size": [5, 6, 7]}])
    assert texts(table.body[0]) == ["a", "5 x 6 x 7", "-", "-", "-", "0123456789ab", "-"]


def test_several_folders_are_named_with_what_each_says_of_itself(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"about": f"set {name}"}))
    cases = {"x": {"patient_id": "x", "intensity": "hu"}}
    run = run_of({}, cases=cases, dataset_dir=tmp_path, datalist={"folders": ["a", "b"]})
    told = facts.data_facts(run)
    assert (told["folder"], told["about"]) == ("a + b", "set a; set b")
