"""What a trial's table shows, and what it is not allowed to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from support.trial_table import Made, table_of, two_arms

from ctlung.errors import ManifestError, NotUnblinded
from ctlung.trial.blinding import lock_results
from ctlung.trial.cohort import analyse, cohort
from ctlung.trial.cohort_files import write_cohort
from ctlung.trial.cohort_names import PRIMARY
from ctlung.trial.result import Cohort, Row
from ctlung.trial.selection import Schedule
from ctlung.trial.store import write_table


def _analyse(patients: list[Made], **how: object) -> Cohort:
    return analyse(*table_of(patients), **how)  # type: ignore[arg-type]


def _line(found: Cohort, section: str, measure: str, what: str, arm: str = "") -> Row:
    (row,) = (
        r
        for r in found.rows
        if (r.section, r.measure, r.what, r.arm) == (section, measure, what, arm)
    )
    return row


def _words(found: Cohort) -> str:
    return "\n".join(r.text for r in found.rows if r.section == "words")


def test_the_primary_analysis_is_statsmodels_ancova_with_holm() -> None:
    made = two_arms(-4.0)
    found = _analyse(made)
    p_values = []
    for measure in PRIMARY:
        frame = pd.DataFrame(
            [(*p.visits[0][measure], int(p.arm == "MSC")) for p in made], columns=["b", "f", "arm"]
        )
        theirs = smf.ols("f ~ arm + b", frame).fit()
        row = _line(found, "between", measure, "ANCOVA")
        assert row.value == pytest.approx(theirs.params["arm"], abs=1e-9)
        assert row.p == pytest.approx(theirs.pvalues["arm"], abs=1e-9)
        assert row.n == 25
        p_values.append(theirs.pvalues["arm"])
    adjusted = [_line(found, "between", m, "ANCOVA").p_holm for m in PRIMARY]
    low, high = sorted(p_values)
    assert sorted(a or 0 for a in adjusted) == pytest.approx(
        sorted([min(1, 2 * low), max(2 * low, high)]), abs=1e-12
    )
    assert "differs from" in _words(found)


def test_within_an_arm_it_is_scipys_signed_rank_and_t() -> None:
    made = two_arms(-4.0)
    found = _analyse(made)
    for arm in ("MSC", "control"):
        delta = [f - b for p in made if p.arm == arm for b, f in [p.visits[0][PRIMARY[0]]]]
        row = _line(found, "within", PRIMARY[0], "pseudo-median change", arm)
        assert row.p == pytest.approx(stats.wilcoxon(delta, method="exact").pvalue, abs=1e-12)
        mean = _line(found, "within", PRIMARY[0], "mean change", arm)
        assert mean.value == pytest.approx(np.mean(delta), abs=1e-9)
        assert mean.p == pytest.approx(stats.ttest_1samp(delta, 0).pvalue, abs=1e-9)


def test_the_words_of_a_trial_that_was_not_randomised() -> None:
    words = _words(_analyse(two_arms(-4.0)))
    assert "not an effect of treatment" in words
    assert "do not compare the arms" in words
    assert "regression to the mean" in words
    assert "1.17 standard deviations" in words
    assert "research use" in words
    assert "Effect of treatment" not in words
    assert "Effect of treatment" in _words(_analyse(two_arms(-4.0), randomised=True))


def test_no_difference_is_not_called_no_effect() -> None:
    words = _words(_analyse(two_arms(0.0, seed=3)))
    assert "is not shown to differ" in words
    assert "Absence of significance is not absence of effect" in words


def test_the_flow_names_everyone_who_is_left_out_and_why() -> None:
    made = two_arms(-4.0)
    made[0] = replace(made[0], refused={0: "not_chest_ct"})
    made[1] = replace(made[1], refused={1: "thickness"})
    made[2] = replace(made[2], visits=[])
    made[3] = replace(made[3], visits=[{**made[3].visits[0], PRIMARY[1]: "registration"}])
    found = _analyse(made)
    counts = [r.n for r in found.rows if r.section == "flow" and r.arm == "MSC" and not r.text]
    assert counts == [12, 11, 10, 9, 9]
    reasons = "\n".join(r.text for r in found.rows if r.section == "flow")
    for words in ("P00: baseline: not_chest_ct", "P01: follow-up: thickness",
                  "P02: no follow-up in the manifest", "P03: registration"):  # fmt: skip
        assert words in reasons
    assert _line(found, "between", PRIMARY[0], "ANCOVA").n == 22
    assert _line(found, "between", PRIMARY[1], "ANCOVA").n == 21
    assert "3 of 25 patients have no change" in _words(found)


def test_the_baseline_table_is_of_all_who_had_a_baseline_scan() -> None:
    made = two_arms(-4.0)
    made[0] = replace(made[0], refused={1: "thickness"})
    made[1] = replace(made[1], refused={0: "not_chest_ct"})
    row = _line(_analyse(made), "baseline", PRIMARY[0], "at baseline, mean", "MSC")
    there = [p.visits[0][PRIMARY[0]][0] for k, p in enumerate(made[:12]) if k != 1]
    assert row.n == 11
    assert row.value == pytest.approx(np.mean([float(v) for v in there]))


def test_who_is_missing_is_worst_in_the_sensitivity_analysis_and_never_zero() -> None:
    made = two_arms(-4.0)
    made[0] = replace(made[0], refused={1: "thickness"})
    found = _analyse(made)
    row = _line(found, "sensitivity", PRIMARY[0], "missing are worst")
    deltas = [[f - b for p in made[1:] if p.arm == a for b, f in [p.visits[0][PRIMARY[0]]]]
              for a in ("MSC", "control")]  # fmt: skip
    worst = max(deltas[0] + deltas[1]) + 1
    theirs = stats.mannwhitneyu(deltas[0] + [worst], deltas[1], method="exact")
    assert row.n == 25
    assert row.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_changes_within_noise_count_as_none_in_one_analysis() -> None:
    made = [replace(p, within_noise=k % 3 == 0) for k, p in enumerate(two_arms(-4.0))]
    row = _line(_analyse(made), "sensitivity", PRIMARY[0], "changes within noise are none")
    groups = [
        [0.0 if p.within_noise else f - b for p in made if p.arm == a
         for b, f in [p.visits[0][PRIMARY[0]]]]
        for a in ("MSC", "control")
    ]  # fmt: skip
    assert row.value == pytest.approx(np.median(np.subtract.outer(*groups)), abs=1e-9)


def test_the_healed_are_not_worst_where_nothing_is_left_to_measure() -> None:
    made = two_arms(-4.0)
    name = "ct_number_baseline_region_hu"
    healed = [{**p.visits[0], name: "no_lesion"} if k < 2 else p.visits[0]
              for k, p in enumerate(made)]  # fmt: skip
    made = [replace(p, visits=[v]) for p, v in zip(made, healed, strict=True)]
    assert _line(_analyse(made), "sensitivity", name, "missing are worst").n == 23


@pytest.mark.parametrize(
    ("schedule", "visit"),
    [
        (Schedule(), 1),
        (Schedule(30), 2),
        (Schedule(60), 3),
        (Schedule(60, 2), None),
        (Schedule(20, 7), 1),
    ],
)
def test_the_primary_followup_is_the_nearest_to_the_planned_day(
    schedule: Schedule, visit: int | None
) -> None:
    made = [replace(p, visits=[p.visits[0]] * 3) for p in two_arms(0.0)]
    found = _analyse(made, schedule=schedule)
    assert {p.followup for p in found.patients} == {visit}


def test_the_planned_day_is_counted_from_the_infusion_where_it_is_known() -> None:
    made = [replace(p, visits=[p.visits[0]] * 3) for p in two_arms(0.0)]
    # Days 14, 28 and 56 after the baseline are 4, 18 and 46 after an infusion on day 10, and 24,
    # 38 and 66 after one ten days before the baseline.
    for infusion, visit in ((None, 2), (10, 2), (-10, 1)):
        found = _analyse([replace(p, infusion=infusion) for p in made], schedule=Schedule(22))
        assert {p.followup for p in found.patients} == {visit}
    assert {p.days for p in found.patients} == {14.0}


def test_several_followups_give_a_mixed_model() -> None:
    rng = np.random.default_rng(2)
    made = []
    for p in two_arms(-6.0):
        b, f = p.visits[0][PRIMARY[0]]
        later = [{PRIMARY[0]: (float(b), float(f) + float(rng.normal(0, 1)))} for _ in range(2)]
        made.append(replace(p, visits=[p.visits[0], *later]))
    row = _line(_analyse(made), "repeated", PRIMARY[0], "linear mixed model, all follow-ups")
    assert row.value is not None
    assert row.value < -3
    assert row.n == 25


def test_arms_must_be_two_and_known() -> None:
    made = two_arms(0.0)
    with pytest.raises(ManifestError, match="Which arm is treated"):
        _analyse([replace(p, arm={"MSC": "x", "control": "y"}[p.arm]) for p in made])
    with pytest.raises(ManifestError, match="no arm in the manifest"):
        _analyse([replace(p, arm="" if k == 3 else p.arm) for k, p in enumerate(made)])
    with pytest.raises(ManifestError, match="3 arms"):
        _analyse([replace(p, arm="third" if k == 3 else p.arm) for k, p in enumerate(made)])
    alone = _analyse([replace(p, arm="") for p in made])
    assert not [r for r in alone.rows if r.section == "between"]
    assert "speaks for or against a therapy" in _words(alone)
    swapped = _analyse(made, treated="control")
    mine = _line(_analyse(made), "between", PRIMARY[0], "ANCOVA").value
    theirs = _line(swapped, "between", PRIMARY[0], "ANCOVA").value
    assert mine == pytest.approx(-(theirs or 0))


def test_a_manifest_of_another_trial_is_refused() -> None:
    table, manifest = table_of(two_arms(0.0))
    with pytest.raises(ManifestError, match="does not name"):
        analyse(table, manifest[4:])


def test_arms_stay_hidden_until_the_results_are_locked(tmp_path: Path) -> None:
    table, manifest = table_of(two_arms(-4.0))
    write_table(table, tmp_path)
    hidden = analyse(tmp_path, manifest, blind=True)
    frame = hidden.to_frame()
    assert "MSC" not in frame.to_csv()
    assert set(frame["section"]) <= {"flow", "baseline", "within", "words"}
    with pytest.raises(NotUnblinded, match="hidden until"):
        analyse(tmp_path, manifest)
    lock_results(tmp_path)
    assert analyse(tmp_path, manifest).arms == ("MSC", "control")
    write_table(table.iloc[:-1], tmp_path)
    with pytest.raises(NotUnblinded, match="not those that were locked"):
        analyse(tmp_path, manifest)
    with pytest.raises(NotUnblinded, match="not those that were locked"):
        lock_results(tmp_path)


def test_the_files_of_a_result(tmp_path: Path) -> None:
    made = two_arms(-4.0)
    made[0] = replace(made[0], refused={1: "thickness"})
    found = _analyse(made)
    for name in ("a", "b"):
        write_cohort(found, tmp_path / name)
    for file in ("cohort.csv", "patients.csv", "cohort.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    patients = pd.read_csv(tmp_path / "a" / "patients.csv")
    assert patients["patient"].nunique() == 25
    assert "thickness" in str(patients.set_index("patient").loc["P00", "why_not"])
    frame = cohort(*table_of(made))
    again = pd.read_csv(tmp_path / "a" / "cohort.csv")
    assert len(again) == len(frame)


def test_the_page_needs_nothing_else_and_holds_no_markup_of_others(tmp_path: Path) -> None:
    made = two_arms(-4.0)
    made[0] = replace(made[0], refused={1: "<script>alert(1)</script>"})
    table, manifest = table_of(made)
    manifest = [replace(r, arm=r.arm.replace("MSC", "<b>MSC</b>")) for r in manifest]
    found = analyse(table, manifest, treated="<b>MSC</b>")
    text = (write_cohort(found, tmp_path / "out") / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text
    links = text.replace("http://www.w3.org/", "").replace("https://creativecommons.org", "")
    assert "http://" not in links
    assert "https://" not in links
    assert len(text) < 8_000_000
    assert text.count("<svg") == 7
    assert "inflammatory area" in text
    assert "BMJ 2001;323:1123" in text


def test_repeat_scans_are_drawn_as_bland_and_altman_do(tmp_path: Path) -> None:
    made = [replace(p, days=(0,)) for p in two_arms(0.0, healing=0.0)]
    write_cohort(_analyse(made), tmp_path / "out")
    assert (tmp_path / "out" / "repeat_lesion_percent.svg").is_file()
    later = _analyse(two_arms(0.0))
    write_cohort(later, tmp_path / "later")
    assert not (tmp_path / "later" / "repeat_lesion_percent.svg").exists()


def test_the_methods_say_what_was_run() -> None:
    table, manifest = table_of(two_arms(-4.0))
    rows = [
        {"patient": "P00", "visit": 0, "kind": "provenance", "name": name, "text": text}
        for name, text in (
            ("version", "0.1.0"),
            ("segmenter", "lung-unet-3mm-2"),
            ("weights_sha256", "abc123"),
            ("kernel", "B30f"),
            ("settings", '{"ground_glass_lower_hu": -700}'),
        )
    ]
    table = pd.concat([table, pd.DataFrame(rows).reindex(columns=table.columns)])
    text = analyse(table, manifest, schedule=Schedule(14, 3)).methods
    for words in ("50 chest CT scans", "ctlung 0.1.0", "abc123", "B30f", "day 14 within 3 days",
                  "ground_glass_lower_hu = -700", "analysis of covariance"):  # fmt: skip
        assert words in text
