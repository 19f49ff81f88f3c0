"""A label map of one's own, from a YAML file to a run's configuration."""

import json

import pytest

from pipeline.core.configuration import TRAIN, merged, with_content
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS, label_map, travelling

KINDS = """
classes:
  background: [0]
  lungs: [1, 2]
  ground_glass_opacity: [4]
  consolidation: [5]
"""


def written(folder, text):
    (folder / "map.yaml").write_text(text)
    return str(folder / "map.yaml")


def test_without_structures_all_that_the_classes_tell_is_scored(tmp_path):
    classes = label_map(written(tmp_path, KINDS))
    assert classes.structures == {
        "lungs": (1,), "infection": (2, 3), "ground_glass_opacity": (2,), "consolidation": (3,),
    }  # fmt: skip
    assert classes.class_of_code().tolist() == [0, 1, 1, 0, 2, 3]


def test_structures_are_of_classes_by_name_or_number(tmp_path):
    classes = label_map(written(tmp_path, KINDS + "structures: {infection: [ground_glass_opacity, 3]}"))
    assert classes.structures == {"infection": (2, 3)}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_every_label_map_may_be_written_as_a_file(tmp_path, name):
    chosen = LABEL_MAPS[name]
    content = {"classes": chosen.classes, "structures": chosen.structures}
    assert label_map(written(tmp_path, json.dumps(content))) == chosen


def test_a_configuration_keeps_what_the_file_holds_and_not_where_it_is(tmp_path):
    file = written(tmp_path, KINDS)
    kept = merged(TRAIN, "unet_3d", "demo", {"label_map": file}, {})["label_map"]
    assert str(tmp_path) not in kept
    assert travelling(kept) == kept
    assert label_map(kept) == label_map(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("classes: {background: [0], lungs: 1}", "expected classes, two or more, each with a list of codes"),
        (
            "classes: {background: [0, 1, 2], lesion: [3, 4, 5]}",
            "class lesion of codes 3, 4, 5; expected classes",
        ),
        (
            "classes: {background: [0, 1, 2], infection: [3, 6]}",
            "of codes 3, 6; expected codes among 3, 4, 5.",
        ),
        ("classes: {background: [0], infection: [3, 4, 5]}", "has code 1 left lung in no class; expected each in one."),
        (
            "classes: {background: [0, 1, 2], infection: [3, 4, 5], consolidation: [5]}",
            "has code 5 consolidation in two classes",
        ),
        (
            "classes: {lungs: [1, 2], background: [0], infection: [3, 4, 5]}",
            "begins with the class lungs; expected",
        ),
        (
            KINDS + "structures: {lungs: [lung]}",
            "has 'lung' in the structure lungs; expected some of backgr",
        ),
        (
            KINDS + "structures: {infection: [consolidation]}",
            "infection of codes 5; expected 4, 5.",
        ),
        ("classes: [", "not readable as a label map"),
    ],
)
def test_what_a_file_cannot_say_is_refused_by_its_name(tmp_path, text, said):
    with pytest.raises(InputError) as told:
        label_map(written(tmp_path, text))
    assert str(told.value).startswith(f"{tmp_path / 'map.yaml'}: ")
    assert said in str(told.value)


def test_whole_lungs_are_scored_as_such(tmp_path):
    text = "classes: {background: [0], lungs: [1, 2, 3, 4, 5]}"
    assert label_map(written(tmp_path, text)).structures == {"whole_lungs": (1,)}


def test_a_file_that_is_not_there_and_an_unknown_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="not readable as a label map"):
        label_map(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match=r"^label_map is 'lung', expected one of: lungs_infection, .* or a YAML file"):
        label_map("lung")


def test_a_run_goes_on_without_the_file(tmp_path):
    given = {"max_epochs": 2, "infection::label_map": written(tmp_path, KINDS)}
    kept = with_content(given)
    assert kept["max_epochs"] == 2
    assert label_map(kept["infection::label_map"]) == label_map(given["infection::label_map"])
    assert with_content(kept) == kept
