"""Are two scans of one person? By their headers, and by their bones (FIELD 5, ``same_person``)."""

from __future__ import annotations

from dataclasses import replace

from ctlung.change_records import Comparison
from ctlung.errors import NotComparable
from ctlung.notices import Notice
from ctlung.records import ScanReport
from ctlung.settings import Settings


def by_identifiers(
    baseline: ScanReport, followup: ScanReport, same_person: bool
) -> tuple[Notice, ...]:
    """What patient ID, birth date and sex say; nothing where they agree."""
    b, f = baseline.provenance, followup.provenance
    if b.key_fingerprint != f.key_fingerprint:
        return _unsure_person(
            "The two results were made with different keys, so their patients' hashes cannot be "
            "compared",
            same_person,
        )
    apart, missing = [], []
    for what, name in (
        ("patient_hash", "patient ID"),
        ("birth_date_hash", "birth date"),
        ("sex", "sex"),
    ):
        mine, theirs = b.acquisition.get(what), f.acquisition.get(what)
        if not mine or not theirs:
            missing.append(name)
        elif mine != theirs:
            apart.append(name)
    if apart:
        listed = " and ".join(apart)
        return (
            Notice(
                "same_person",
                "warn" if same_person else "refuse",
                f"The two scans differ in {listed}: "
                + (
                    "you said that they are of one patient."
                    if same_person
                    else "they are not of one patient. If you know that they are, say so "
                    "(--same-person)."
                ),
                affects=("all",),
            ),
        )
    if "patient ID" in missing:
        return _unsure_person("At least one of the two scans has no patient ID", same_person)
    return ()


def _unsure_person(why: str, same_person: bool) -> tuple[Notice, ...]:
    if same_person:
        return ()
    return (
        Notice(
            "same_person",
            "warn",
            f"{why}: nothing but your choice of folders says that they are of one patient.",
            affects=("all",),
        ),
    )


def with_bones(
    comparison: Comparison, dice: float | None, same_person: bool, settings: Settings
) -> Comparison:
    """The comparison with what the bones of both scans say.

    Where the headers know who it is, bones that do not fit only warn; where they do not, and
    nobody vouches for it, bones decide.

    Args:
        comparison: of the two reports.
        dice: of both scans' bones laid on one another; ``None`` where there were too few.
        same_person: the user vouches that both are of one patient.
        settings: limits.

    Raises:
        NotComparable: the bones are of two persons and nothing else says otherwise.
    """
    if dice is None or same_person:
        return comparison
    known = not any(n.code == "same_person" for n in comparison.notices)
    if dice >= settings.bone_match_warn:
        if known:
            return comparison
        others = tuple(n for n in comparison.notices if n.code != "same_person")
        (doubt,) = (n for n in comparison.notices if n.code == "same_person")
        said = f"{doubt.sentence[:-1]}. The bones of both fit (overlap {dice:.2f})."
        surer = replace(doubt, sentence=said, measured=dice, limit=settings.bone_match_warn)
        return replace(comparison, notices=(surer, *others))
    if dice < settings.bone_match_refuse and not known:
        raise NotComparable(
            f"The bones of the two scans do not fit one another (overlap {dice:.2f}; of one "
            f"person it is above {settings.bone_match_refuse:g}) and their headers do not say "
            "whose they are: they seem to be of two persons. If you know that they are of one, "
            "say so (--same-person).",
            code="same_person",
        )
    whose = "although the headers say so" if known else "and the headers do not say whose they are"
    doubt = Notice(
        "same_person",
        "warn",
        f"The bones of the two scans fit poorly (overlap {dice:.2f}), {whose}: look whether both "
        "are of one patient.",
        dice,
        settings.bone_match_warn,
        affects=("all",),
    )
    others = tuple(n for n in comparison.notices if n.code != "same_person")
    return replace(comparison, notices=(doubt, *others))
