from __future__ import annotations

import pytest

from ctlung.measurement import withheld
from ctlung.notices import Notice
from ctlung.vocabulary import GROUPS, LOBES, MEASURES, REGIONS


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
    assert covered == {"lungs", "left_lung", "lll", *REGIONS[6:]}
