"""What bones say where headers do not, and where they do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ctlung.change_records import Comparison
from ctlung.comparison.compare import compare_reports
from ctlung.comparison.person import with_bones
from ctlung.errors import NotComparable
from ctlung.records import Measurement, Provenance, ScanReport
from ctlung.settings import Settings

LIMITS = Settings()
FITS = LIMITS.bone_match_warn + 0.05
POOR = (LIMITS.bone_match_warn + LIMITS.bone_match_refuse) / 2
NOT = LIMITS.bone_match_refuse - 0.05


def _comparison(known: bool) -> Comparison:
    facts = {"patient_hash": "a", "birth_date_hash": "b", "sex": "F"} if known else {}
    days = ({"acquisition_date": day} for day in ("20200301", "20200311"))
    volume = Measurement("lung_volume_ml", "lungs", 4000.0)
    reports = [
        ScanReport(
            (volume,),
            provenance=Provenance("1", acquisition=facts | day, spacing_mm=(1.0, 1.0, 1.0)),
        )
        for day in days
    ]
    return compare_reports(*reports)


def _said(found: Comparison) -> list[str]:
    return [n.sentence for n in found.notices if n.code == "same_person"]


def test_bones_that_fit_are_said_where_the_headers_are_silent() -> None:
    (sentence,) = _said(with_bones(_comparison(known=False), FITS, False, LIMITS))
    assert "no patient ID" in sentence
    assert f"{FITS:.2f}" in sentence


def test_bones_that_fit_add_nothing_where_the_headers_agree() -> None:
    found = _comparison(known=True)
    assert with_bones(found, FITS, False, LIMITS) == found


@pytest.mark.parametrize("known", [True, False])
def test_bones_that_fit_poorly_warn(known: bool) -> None:
    (sentence,) = _said(with_bones(_comparison(known), POOR, False, LIMITS))
    assert "fit poorly" in sentence


def test_bones_of_another_are_refused_unless_headers_or_user_say_otherwise() -> None:
    with pytest.raises(NotComparable, match="two persons") as error:
        with_bones(_comparison(known=False), NOT, False, LIMITS)
    assert error.value.code == "same_person"
    (sentence,) = _said(with_bones(_comparison(known=True), NOT, False, LIMITS))
    assert "although the headers say so" in sentence
    vouched = replace(_comparison(known=False), notices=())
    assert with_bones(vouched, NOT, True, LIMITS) == vouched


def test_too_few_bones_change_nothing() -> None:
    found = _comparison(known=False)
    assert with_bones(found, None, False, LIMITS) == found
