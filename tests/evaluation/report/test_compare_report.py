"""The comparison of several networks' runs: read, refused, marked, and written as page, text and tables."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest
from commands import run_command
from report_makers import write_json, write_network

from evaluation.report.compare import Report, compare_runs
from evaluation.report.compare_tables import BEHIND, BEST, matrix, metric_table, published_table, standing
from evaluation.report.compared import read_compared
from evaluation.report.costs import cost_of
from evaluation.report.metric_columns import DICE
from evaluation.report.published_numbers import printed_of
from evaluation.report.run import read_run
from evaluation.report.tables import Cell, Table
from evaluation.report.text_tables import table_text
from pipeline.core.configuration import TRAIN, merged
from pipeline.core.errors import InputError

TITLES = ["Results", "What is shown", "Spread over cases", "Cost", "Cases", "Published numbers", "What was run"]
CASES = 7  # the fewest with which two networks can be shown to differ on two structures


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two networks of all structures, of which one misses more, and one that finds the infection alone."""
    folder = tmp_path_factory.mktemp("compared")
    enet = {**merged(TRAIN, "enet", "demo", {}, {}), "label_map": "lungs_infection"}
    made = [
        write_network(folder, "unet_3d", CASES),
        write_network(folder, "enet", CASES, missed=1, **{key: enet[key] for key in enet if key != "name"}),
        write_network(folder, "mini_seg", CASES, labels="infection", missed=2, spatial_dims=2),
    ]
    for fold in range(2):
        write_json(made[1] / f"fold{fold}" / "segmentation.json", {"cases": 2, "seconds": 10.0 * (fold + 1)})
    return made


@pytest.fixture(scope="module")
def compared(runs):
    return read_compared(runs)


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "comparison.html"
    return file, compare_runs(runs, file)


@pytest.fixture
def copied(runs, tmp_path):
    """The first two runs in a folder where they may be spoilt."""
    for run in runs[:2]:
        shutil.copytree(run, tmp_path / run.parent.name / "cv")
    return [tmp_path / run.parent.name / "cv" for run in runs[:2]]


def changed(file, **changes):
    write_json(file, {**json.loads(file.read_text()), **changes})


def test_the_page_has_every_section(written):
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", written[0].read_text()) == TITLES


def test_every_id_is_there_once_and_every_link_leads_to_one(written):
    page = written[0].read_text()
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_page_asks_nothing_of_the_network(written):
    markup = re.sub("<script>.*?</script>", "", written[0].read_text(), flags=re.DOTALL)
    assert "http:" not in markup.replace("http-equiv", "")
    assert "https:" not in markup


def test_the_text_has_the_tables_of_the_page(written):
    assert all(title in written[1] for title in TITLES if title != "Spread over cases")


def test_the_network_with_the_highest_dice_comes_first(compared):
    assert list(compared.runs) == ["unet_3d", "enet", "mini_seg"]


def test_the_numbers_are_beside_the_page_as_json(written):
    content = json.loads(written[0].with_suffix(".json").read_text())
    assert (list(content["runs"]), len(content["comparisons"])) == (["unet_3d", "enet", "mini_seg"], 3 + 3)


def test_the_scores_are_beside_the_page_as_csv(written):
    with written[0].with_suffix(".csv").open(newline="") as stream:
        rows = {(row["network"], row["structure"], row["metric"]): row for row in csv.DictReader(stream)}
    assert rows["unet_3d", "infection", "dice"]["patients"] == str(CASES)
    assert ("mini_seg", "lungs", "dice") not in rows


def test_networks_of_other_label_maps_are_compared_on_what_they_share(compared):
    assert {one.structure for one in compared.comparisons if "mini_seg" in (one.first, one.second)} == {"infection"}


def test_a_structure_of_some_networks_has_rows_of_these_alone(compared):
    assert [row[0].text for row in metric_table(compared, "lungs").body] == ["unet_3d", "enet"]


def test_best_is_not_marked_where_the_difference_is_not_shown(compared):
    assert standing(compared, "unet_3d", "infection", DICE) == ""


def test_best_is_marked_where_fewer_comparisons_show_the_difference(runs):
    chosen = read_compared(runs[:2], ["infection"])
    marks = [standing(chosen, name, "infection", DICE) for name in ("unet_3d", "enet")]
    assert marks == [BEST, BEHIND]


def test_a_network_is_tested_against_the_one_that_is_named_alone(runs):
    found = read_compared(runs, ["infection"], against="enet").comparisons
    assert {(one.first, one.second) for one in found} == {("enet", "unet_3d"), ("enet", "mini_seg")}


def test_the_matrix_has_the_opposite_signs_on_both_sides(compared):
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in matrix(compared, "infection").body}
    assert rows["unet_3d"][1].replace("+", "-") == rows["enet"][0]


def test_a_reference_to_test_against_that_is_no_run_is_refused(runs):
    with pytest.raises(InputError, match="--against: lednet is none of the runs; expected one of: unet_3d, enet"):
        read_compared(runs, against="lednet")


def test_a_structure_that_no_run_scored_is_refused(runs):
    with pytest.raises(InputError, match="--structure: abnormal is scored by none"):
        read_compared(runs, ["abnormal"])


def test_one_run_alone_is_refused(runs):
    with pytest.raises(InputError, match="expected at least two"):
        read_compared(runs[:1])


def test_runs_of_other_scans_are_refused_with_the_case(copied):
    datalist = json.loads((copied[1] / "datalist.json").read_text())
    datalist["training"][2]["image_sha256"] = "0" * 64
    write_json(copied[1] / "datalist.json", datalist)
    with pytest.raises(InputError, match="case case_2: its image file is another one in enet than in unet_3d"):
        read_compared(copied)


def test_runs_of_other_folds_are_refused(copied):
    folds = json.loads((copied[1] / "folds.json").read_text())["folds"]
    changed(copied[1] / "folds.json", folds=[{**folds[0], "test": []}, folds[1]])
    with pytest.raises(InputError, match="enet: has other folds than unet_3d"):
        read_compared(copied)


def test_a_case_that_one_run_did_not_test_is_refused(copied):
    lines = (copied[1] / "metrics.csv").read_text().splitlines(keepends=True)
    (copied[1] / "metrics.csv").write_text("".join(line for line in lines if not line.startswith("case_3,")))
    with pytest.raises(InputError, match="case case_3"):
        read_compared(copied)


def test_a_run_that_differs_in_its_preset_is_told(copied):
    changed(copied[1] / "train.json", preset="quick")
    assert "different presets (unet_3d demo, enet quick)" in Report(read_compared(copied)).remarks[0]


def test_a_fold_that_no_run_has_is_told(copied):
    for run in copied:
        lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
        place = lines[0].split(",").index("fold")
        (run / "metrics.csv").write_text("".join(line for line in lines if line.split(",")[place] != "1"))
    report = Report(read_compared(copied))
    assert report.subtitle.endswith("the same fold for all")
    assert report.remarks[0] == "Not all folds: these numbers are without fold 1."


def test_a_network_is_counted_as_its_run_built_it(runs):
    cost = cost_of(read_run(runs[1]))
    assert (cost.parameters, cost.builds[0].size) == (349_284, (128, 128))


def test_seconds_a_case_are_of_all_folds_together(runs):
    assert cost_of(read_run(runs[1])).case_s == pytest.approx(30 / 4)


def test_training_is_the_mean_of_the_folds_and_memory_the_most(runs):
    cost = cost_of(read_run(runs[1]))
    assert (cost.training_min, cost.memory_gib) == (1.5, 2.0)


def test_a_network_that_cannot_be_built_here_keeps_its_scores_and_says_why(compared, written):
    assert cost_of(compared.runs["unet_3d"]).parameters is None
    assert "unet_3d: its network cannot be built" in written[1]


def test_published_numbers_are_marked_as_other_data():
    table = published_table(printed_of(["unet_3d"]), public_20=False)
    assert {row[table.columns.index("of")].text for row in table.body} == {"other data"}


def test_published_numbers_of_the_public_set_are_marked_where_the_runs_are_of_it():
    table = published_table(printed_of(["unet_3d", "amc_net"]), public_20=True)
    marks = {(row[0].text, row[table.columns.index("of")].text) for row in table.body}
    assert marks == {("unet_3d", "this data"), ("amc_net", "other data")}


def test_published_numbers_enter_no_score(compared):
    assert {name for name, *_ in compared.scores} == set(compared.runs)


def test_a_wide_table_is_told_in_blocks_that_fit():
    table = Table("Wide", ("name", *("a column" for _ in range(30))), [[Cell("x")] * 31])
    assert max(map(len, table_text(table).splitlines())) <= 100


def test_the_command_writes_the_page_where_it_is_told(runs, tmp_path, capsys):
    run_command("compare-runs", *runs, "--out", tmp_path / "page.html", "--structure", "infection")
    assert (tmp_path / "page.html").is_file()
    assert "page.json and .csv beside it" in capsys.readouterr().out


def test_without_the_name_of_a_page_it_is_written_into_a_folder(runs, tmp_path):
    run_command("compare-runs", *runs, "--out", tmp_path / "both")
    assert sorted(file.suffix for file in (tmp_path / "both").glob("comparison.*")) == [".csv", ".html", ".json"]


def test_a_comparison_replaces_the_one_before_it(written, runs):
    file, text = written
    before = file.read_text()
    assert compare_runs(runs, file) == text
    assert file.read_text() == before


@pytest.mark.parametrize("name", ["page.html", "page.json", "page.csv"])
def test_a_comparison_replaces_nothing_of_somebody_else(runs, tmp_path, name):
    (tmp_path / name).write_text('{"title": "my own"}')
    with pytest.raises(InputError, match=f"would replace .*{name}"):
        compare_runs(runs, tmp_path / "page.html")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, '{"title": "my own"}')]


@pytest.mark.parametrize("name", ["scan.nii.gz", "page.json"])
def test_a_comparison_is_written_to_a_page_alone(runs, tmp_path, name):
    with pytest.raises(InputError, match="expected the name of a page"):
        compare_runs(runs, tmp_path / name)
