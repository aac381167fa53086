from __future__ import annotations

import pytest

from ctlung.measurement import withheld
from ctlung.notices import Notice
from ctlung.vocabulary import DEPTHS, GROUPS, LOBES, MEASURES, REGIONS, THIRDS


def _notice(effect: str = "null", **how) -> Notice:
    return Notice("motion", effect, "For the test.", **how)


@pytest.mark.parametrize("group", GROUPS)
def test_groups_stand_for_their_measures(group: str) -> None:
    notices = withheld.withholding([_notice(affects=(group,))])
    taken = {m for m in MEASURES if withheld.reason_for(notices, m, "lungs") == "motion"}
    assert taken == set(GROUPS[group])


def test_only_null_and_refuse_withhold() -> None:
    given = [_notice(effect) for effect in ("note", "warn", "null", "refuse")]
    assert [n.effect for n in withheld.withholding(given)] == ["null", "refuse"]


def test_a_refusal_without_measures_takes_all() -> None:
    refusal = _notice("refuse")
    assert withheld.reason_for([refusal], "lung_mean_hu", "left_lung") == "motion"
    assert withheld.reason_for_all([refusal], "lungs") == "motion"
    assert withheld.reason_for([_notice()], "lung_mean_hu", "left_lung") is None


def test_slices_by_region() -> None:
    notices = [
        _notice(slices=(1, 2), regions=("left_lung",)),
        Notice("metal", "null", "s", slices=(2, 3)),
    ]
    assert withheld.slices_withheld(notices, "lungs") == {1: "motion", 2: "motion", 3: "metal"}
    assert withheld.slices_withheld(notices, "right_lung") == {2: "metal", 3: "metal"}


@pytest.mark.parametrize(
    ("named", "lobes"),
    [
        ("lungs", set()),
        ("right_lung", {"rul", "rml", "rll"}),
        ("left_lung", {"lul", "lll"}),
        # A third and the lobes of its lung overlap.
        ("left_lung_upper", {"lul", "lll"}),
        ("rml", {"rml"}),
    ],
)
def test_which_lobes_a_notice_speaks_of(named: str, lobes: set[str]) -> None:
    notice = _notice(regions=(named,))
    assert {lobe for lobe in LOBES if withheld.covers(notice, lobe)} == lobes


def test_what_a_notice_on_a_lobe_speaks_of() -> None:
    notice = _notice(regions=("lll",))
    covered = {name for name in (*REGIONS, *LOBES) if withheld.covers(notice, name)}
    assert covered == {"lungs", "left_lung", "lll", *THIRDS[3:], *DEPTHS}


@pytest.mark.parametrize(
    ("named", "covered"),
    [
        ("lungs", False),
        ("right_lung", True),
        ("left_lung_upper", True),
        ("rml", True),
        ("core", True),
        ("rim", False),
    ],
)
def test_which_notices_speak_of_the_core(named: str, covered: bool) -> None:
    assert withheld.covers(_notice(regions=(named,)), "core") is covered


def test_what_a_notice_on_the_core_speaks_of() -> None:
    covered = {n for n in (*REGIONS, *LOBES) if withheld.covers(_notice(regions=("core",)), n)}
    assert covered == {*REGIONS, *LOBES} - {"rim"}


def test_core_and_rim_of_a_lung_not_all_in_view_are_of_something_else() -> None:
    cut = _notice(affects=("volumes", "thirds"), regions=("left_lung",))
    for region in (*REGIONS, *LOBES):
        found = withheld.reason_for([cut], "lung_mean_hu", region)
        assert (found == "motion") is (region in (*THIRDS[3:], *DEPTHS)), region


@pytest.mark.parametrize(
    ("named", "lungs", "covered"),
    [
        ("right_lung", ("right_lung",), True),
        ("right_lung", ("left_lung",), False),
        ("right_lung", ("right_lung", "left_lung"), True),
        ("right_lung", (), False),
        ("lul", ("left_lung",), True),
        ("left_lung_upper", ("right_lung",), False),
        ("core", ("left_lung",), True),
        ("lungs", ("left_lung",), False),
        ("user_spot", ("left_lung",), True),
    ],
)
def test_which_notices_speak_of_a_users_region(
    named: str, lungs: tuple[str, ...], covered: bool
) -> None:
    notice = _notice(affects=("all",), regions=(named,), slices=(3,))
    assert withheld.covers(notice, "user_spot", lungs) is covered
    found = withheld.reason_for([notice], "lung_mean_hu", "user_spot", lungs)
    assert found == ("motion" if covered else None)
    assert withheld.slices_withheld([notice], "user_spot", lungs) == (
        {3: "motion"} if covered else {}
    )
