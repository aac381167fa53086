"""Lungs and lobes under the names and codes that people and programs give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ctlung.errors import InputError
from ctlung.vocabulary import LOBE_LABELS, LOBES, LUNG_LABELS

BOTH: Mapping[int, str] = MappingProxyType({1: "lungs"})
"""Names of a label map whose one label is both lungs."""
SIDES = tuple(LUNG_LABELS.values())

TITLES = {
    "lungs": "both lungs",
    "right_lung": "right lung",
    "left_lung": "left lung",
    "rul": "right upper lobe",
    "rml": "right middle lobe",
    "rll": "right lower lobe",
    "lul": "left upper lobe",
    "lll": "left lower lobe",
}

_WORDS = {
    "lung": "lung lungs lunge lungen lungenfluegel pulmo pulmones poumon poumons pulmon",
    "lobe": "lobe lobes lobus lappen lobo",
    "right": "right r rt re rechts rechte rechter dexter dextra droit droite derecho derecha d",
    "left": "left l lt li links linke linker sinister sinistra gauche izquierdo izquierda g",
    "upper": "upper superior sup superius ober",
    "middle": "middle mid medius mittel",
    "lower": "lower inferior inf inferius unter",
    "both": "both total whole entire bilateral bilat combined sum all beide deux ambos",
    "filler": "of the and in mask seg segmentation structure contour label manual auto "
    "automatic drawn final",
}
_MEANING = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
_GLUED = re.compile(r"(l|r|lt|rt|left|right)(lungs?)|(lungs?)(l|r|lt|rt|left|right|total)")
_LOBE_OF = {
    ("right", "upper"): "rul",
    ("right", "middle"): "rml",
    ("right", "lower"): "rll",
    ("left", "upper"): "lul",
    ("left", "lower"): "lll",
}

_LUNG, _UPPER, _LOWER = "lung", "upper", "lower"
_CODES = {
    "39607008": _LUNG,
    "T-28000": _LUNG,
    "3341006": "right_lung",
    "T-28100": "right_lung",
    "44029006": "left_lung",
    "T-28500": "left_lung",
    "45653009": _UPPER,
    "T-28820": _UPPER,
    "90572001": _LOWER,
    "T-28830": _LOWER,
    "42400003": "rul",
    "T-28200": "rul",
    "72481006": "rml",
    "40020002": "rml",
    "T-28300": "rml",
    "266005": "rll",
    "T-28400": "rll",
    "44714003": "lul",
    "T-28600": "lul",
    "41224006": "lll",
    "T-28700": "lll",
}
_SIDE_CODES = {
    "24028007": "right",
    "G-A100": "right",
    "7771000": "left",
    "G-A101": "left",
    "51440002": "both",
    "G-A102": "both",
}


@dataclass(frozen=True)
class Named:
    """One structure of a file.

    Attributes:
        key: what the file tells it by: a segment, ROI or label number, or a place in a list.
        text: its name in the file.
        structure: ``lungs``, ``right_lung``, ``left_lung``, a lobe, or ``None``: something else.
    """

    key: int
    text: str
    structure: str | None


@dataclass(frozen=True)
class Choice:
    """What of a file is taken.

    Attributes:
        numbers: key in the file to number in the label map.
        names: of the label map: ``LUNG_LABELS``, ``LOBE_LABELS`` or ``BOTH``.
        recognised: the same for people, to follow "taken were".
    """

    numbers: Mapping[int, int]
    names: Mapping[int, str]
    recognised: str


def structure_named(text: str) -> str | None:
    """The structure that a name stands for; ``None`` unless every word of it is understood.

    ``Lung_L``, ``Lung-Right``, ``RLUNG``, ``lungs``, ``Lt Lung``, ``lung_upper_lobe_left`` and
    ``RUL`` are; ``Lungs-GTV``, ``left lung tumour`` and ``Lung ring`` are something else.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    meanings: set[str] = set()
    for word in re.findall(r"[^\W\d_]+|\d+", spaced.lower()):
        if word in LOBES:
            meanings.add(word)
            continue
        glued = _GLUED.fullmatch(word)
        parts = [p for p in glued.groups() if p] if glued else [word]
        if any(part not in _MEANING for part in parts):
            return None
        meanings.update(_MEANING[part] for part in parts)
    return _meant(meanings - {"filler"})


def _meant(meanings: set[str]) -> str | None:
    lobes = meanings & set(LOBES)
    side = meanings & {"right", "left"}
    height = meanings & {"upper", "middle", "lower"}
    if lobes:
        fits = side <= {"left" if next(iter(lobes)).startswith("l") else "right"}
        return lobes.pop() if len(lobes) == 1 and fits and not height else None
    if height:
        named = "lobe" in meanings and len(side) == len(height) == 1 and "both" not in meanings
        return _LOBE_OF.get((side.pop(), height.pop())) if named else None
    if "lung" not in meanings or "lobe" in meanings:
        return None
    return f"{side.pop()}_lung" if len(side) == 1 and "both" not in meanings else "lungs"


def structure_coded(kind: str, sides: Iterable[str]) -> str | None:
    """The structure of a SNOMED CT or SNOMED-RT code and the codes of its side, if any.

    Source: DICOM PS3.16 CID 6170, 7151, 244.
    """
    found = _CODES.get(kind)
    told = {_SIDE_CODES[s] for s in sides if s in _SIDE_CODES}
    side = told.pop() if len(told) == 1 else "both"
    if found == _LUNG:
        return "lungs" if side == "both" else f"{side}_lung"
    if found in (_UPPER, _LOWER):
        return _LOBE_OF.get((side, found))
    return found


def choose(found: Sequence[Named], file: str, what: str) -> Choice:
    """Which structures of a file are the lungs: all five lobes, right and left lung, or both.

    Lobes come before lungs where all five are there, or nothing else is.

    Args:
        found: those that are not empty.
        file: its name, for the sentences.
        what: what the file calls its structures, in the plural.

    Raises:
        InputError: no lung among them, or two of one name.
    """
    here = {n.structure for n in found}
    lobes = [lobe for lobe in LOBES if lobe in here]
    names: Mapping[int, str]
    if len(lobes) == len(LOBES) or (lobes and not here & {"lungs", *SIDES}):
        names, wanted = LOBE_LABELS, lobes
    elif here >= set(SIDES) or "lungs" not in here:
        names, wanted = LUNG_LABELS, [side for side in SIDES if side in here]
    else:
        names, wanted = BOTH, ["lungs"]
    if not wanted:
        raise _no_lungs(found, file, what)
    number_of = {structure: number for number, structure in names.items()}
    numbers: dict[int, int] = {}
    said = []
    for structure in wanted:
        same = [n for n in found if n.structure == structure]
        if len(same) > 1:
            listed = " and ".join(f"'{n.text}'" for n in same)
            raise InputError(
                f"{file} holds {len(same)} {what} by the name of {TITLES[structure]}: {listed}. "
                "Save the one to be measured in a file without the others.",
                code="given_lungs",
            )
        numbers[same[0].key] = number_of[structure]
        said.append(f"'{same[0].text}' as {TITLES[structure]}")
    return Choice(numbers, names, ", ".join(said))


def _no_lungs(found: Sequence[Named], file: str, what: str) -> InputError:
    listed = ", ".join(f"'{n.text}'" for n in found[:8]) + (", ..." if len(found) > 8 else "")
    holds = f"It holds {listed}" if found else f"All {what} in it are empty"
    return InputError(
        f"None of the {what} in {file} is a lung by its name. {holds}. Name them 'Right lung' "
        "and 'Left lung', or 'Lungs', or by lobe ('Right upper lobe'), and save the file again.",
        code="given_lungs",
    )


def choose_by_number(present: Sequence[int], file: str) -> Choice:
    """What the labels of a label map without names mean.

    One label is both lungs, 1 and 2 are right and left, four or five of 1 to 5 are lobes (so
    are 3, 4 and 5: the right ones alone).

    Raises:
        InputError: other numbers, or none.
    """
    if not present:
        raise empty(file)
    numbers = {n: n for n in present}
    if len(present) == 1:
        return Choice({present[0]: 1}, BOTH, f"its only label, {present[0]}, as both lungs")
    if set(present) == set(LUNG_LABELS):
        return Choice(numbers, LUNG_LABELS, "label 1 as right lung, 2 as left lung")
    if set(present) <= set(LOBE_LABELS) and (len(present) > 3 or set(present) == {3, 4, 5}):
        said = ", ".join(f"{n} as {TITLES[LOBE_LABELS[n]]}" for n in present)
        return Choice(numbers, LOBE_LABELS, f"label {said}")
    listed = ", ".join(map(str, present[:8])) + (", ..." if len(present) > 8 else "")
    raise InputError(
        f"{file} holds the labels {listed}, and which of them are lungs is not known. Save it "
        "with 1 for the right and 2 for the left lung, with one label for both, or with 1 to 5 "
        "for the lobes (left upper, left lower, right upper, right middle, right lower).",
        code="given_lungs",
    )


def empty(file: str) -> InputError:
    """The error where nothing was drawn."""
    return InputError(
        f"There is no lung in {file}: every voxel is background. Save the lungs again, or leave "
        "them to be found.",
        code="given_lungs",
    )
