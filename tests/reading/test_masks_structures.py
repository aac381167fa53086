"""Lungs and lobes by name, code and number."""

from __future__ import annotations

import pytest

from ctlung.errors import InputError
from ctlung.reading.structures import (
    Named,
    choose,
    choose_by_number,
    structure_coded,
    structure_named,
)
from ctlung.vocabulary import LOBE_LABELS, LUNG_LABELS


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("Lung-Right", "right_lung"),
        ("Lung_L", "left_lung"),
        ("Lung R", "right_lung"),
        ("lungs", "lungs"),
        ("LUNGS", "lungs"),
        ("Lung", "lungs"),
        ("left lung", "left_lung"),
        ("RightLung", "right_lung"),
        ("LungLeft", "left_lung"),
        ("LLung", "left_lung"),
        ("RLUNG", "right_lung"),
        ("lung_lt", "left_lung"),
        ("LUNGRT", "right_lung"),
        ("Rt Lung", "right_lung"),
        ("Lung (L)", "left_lung"),
        ("Both Lungs", "lungs"),
        ("Lungs_Total", "lungs"),
        ("LungTotal", "lungs"),
        ("left and right lung", "lungs"),
        ("Lunge links", "left_lung"),
        ("Poumon droit", "right_lung"),
        ("Pulmo dexter", "right_lung"),
        ("lung_upper_lobe_left", "lul"),
        ("lung_middle_lobe_right", "rml"),
        ("lung_lower_lobe_right", "rll"),
        ("Right Upper Lobe", "rul"),
        ("Lung_LLL", "lll"),
        ("RML", "rml"),
        ("Upper lobe of left lung", "lul"),
        ("lung_left.seg", "left_lung"),
    ],
)
def test_the_usual_spellings(name: str, structure: str) -> None:
    assert structure_named(name) == structure


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Lungs-GTV",
        "Lung_L-PTV",
        "left lung tumour",
        "Lung Ring",
        "lung_vessels",
        "lung_nodule",
        "lung_trachea_bronchia",
        "pleural effusion left",
        "Heart",
        "Spinal cord",
        "left",
        "right",
        "total",
        "Lung_L2",
        "upper lobe",
        "left middle lobe",
        "left upper lung",
        "left RUL",
        "RUL and RML",
        "lobe of lung",
        "PTV-1",
        "Liver_R",
    ],
)
def test_what_is_no_lung(name: str) -> None:
    assert structure_named(name) is None


@pytest.mark.parametrize(
    ("kind", "sides", "structure"),
    [
        ("39607008", [], "lungs"),
        ("39607008", ["51440002"], "lungs"),
        ("39607008", ["24028007"], "right_lung"),
        ("T-28000", ["G-A101"], "left_lung"),
        ("3341006", [], "right_lung"),
        ("44029006", [], "left_lung"),
        ("45653009", ["7771000"], "lul"),
        ("90572001", ["24028007"], "rll"),
        ("90572001", [], None),
        ("72481006", [], "rml"),
        ("42400003", [], "rul"),
        ("41224006", [], "lll"),
        ("85756007", ["24028007"], None),
    ],
)
def test_codes(kind: str, sides: list[str], structure: str | None) -> None:
    assert structure_coded(kind, sides) == structure


def _named(*names: str) -> list[Named]:
    return [Named(10 + i, name, structure_named(name)) for i, name in enumerate(names)]


def test_right_and_left_come_before_both() -> None:
    choice = choose(_named("Lungs", "Heart", "Lung_R", "Lung_L"), "a.dcm", "structures")
    assert choice.numbers == {12: 1, 13: 2}
    assert choice.names == LUNG_LABELS
    assert choice.recognised == "'Lung_R' as right lung, 'Lung_L' as left lung"


def test_five_lobes_come_before_lungs_and_fewer_do_not() -> None:
    lobes = ("LUL", "LLL", "RUL", "RML", "RLL")
    choice = choose(_named("lungs", *lobes), "a.dcm", "segments")
    assert choice.numbers == {11: 1, 12: 2, 13: 3, 14: 4, 15: 5}
    assert choice.names == LOBE_LABELS
    assert choose(_named("lungs", *lobes[1:]), "a.dcm", "segments").numbers == {10: 1}
    assert choose(_named(*lobes[2:]), "a.dcm", "segments").numbers == {10: 3, 11: 4, 12: 5}


def test_one_lung_alone_and_both_in_one() -> None:
    assert choose(_named("Lung_L"), "a.dcm", "structures").numbers == {10: 2}
    both = choose(_named("Lung_L", "Lungs"), "a.dcm", "structures")
    assert (both.numbers, dict(both.names)) == ({11: 1}, {1: "lungs"})


def test_no_lung_by_name_lists_what_is_there() -> None:
    with pytest.raises(InputError, match=r"None of the segments in a\.dcm.*'Heart', 'GTV'") as e:
        choose(_named("Heart", "GTV"), "a.dcm", "segments")
    assert e.value.code == "given_lungs"
    with pytest.raises(InputError, match="All structures in it are empty"):
        choose([], "a.dcm", "structures")


def test_two_of_one_name() -> None:
    with pytest.raises(InputError, match="2 structures by the name of left lung: 'Lung_L' and"):
        choose(_named("Lung_R", "Lung_L", "left lung"), "a.dcm", "structures")


@pytest.mark.parametrize(
    ("present", "numbers", "names"),
    [
        ([255], {255: 1}, {1: "lungs"}),
        ([2], {2: 1}, {1: "lungs"}),
        ([1, 2], {1: 1, 2: 2}, dict(LUNG_LABELS)),
        ([1, 2, 3, 4, 5], {n: n for n in range(1, 6)}, dict(LOBE_LABELS)),
        ([1, 2, 3, 5], {1: 1, 2: 2, 3: 3, 5: 5}, dict(LOBE_LABELS)),
        ([3, 4, 5], {3: 3, 4: 4, 5: 5}, dict(LOBE_LABELS)),
    ],
)
def test_numbers(present: list[int], numbers: dict[int, int], names: dict[int, str]) -> None:
    choice = choose_by_number(present, "a.nii")
    assert (choice.numbers, dict(choice.names)) == (numbers, names)


@pytest.mark.parametrize("present", [[1, 3], [1, 2, 3], [2, 3], [1, 2, 3, 4, 5, 6], [10, 11]])
def test_numbers_that_nobody_knows(present: list[int]) -> None:
    listed = ", ".join(map(str, present))
    with pytest.raises(InputError, match=f"a.nii holds the labels {listed}, and which of them"):
        choose_by_number(present, "a.nii")
