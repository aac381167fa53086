"""What labels are called and how they are coloured, and the same for ITK-SNAP."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ctlung.writing.change_picture import COLOURS as CHANGE_COLOURS
from ctlung.writing.pictures import COLOURS as TISSUE_COLOURS

LUNGS_LABEL_FILE: Final = "lungs.label.txt"
LESIONS_LABEL_FILE: Final = "lesions.label.txt"
LOBES_LABEL_FILE: Final = "lobes.label.txt"
CHANGE_LABEL_FILE: Final = "change.label.txt"

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "right_lung": "Right lung",
        "left_lung": "Left lung",
        "ground_glass": "Ground-glass opacity",
        "consolidation": "Consolidation",
        "rul": "Right upper lobe",
        "rml": "Right middle lobe",
        "rll": "Right lower lobe",
        "lul": "Left upper lobe",
        "lll": "Left lower lobe",
        **{name: name.capitalize() for name in CHANGE_COLOURS},
    }
)
"""The names of labels for people."""

COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "right_lung": TISSUE_COLOURS["right lung"],
        "left_lung": TISSUE_COLOURS["left lung"],
        "ground_glass": TISSUE_COLOURS["ground-glass"],
        "consolidation": TISSUE_COLOURS["consolidation"],
        "rul": "#88ccee",
        "rml": "#44aa99",
        "rll": "#117733",
        "lul": "#ddcc77",
        "lll": "#cc6677",
        **CHANGE_COLOURS,
    }
)
"""``#rrggbb`` of each label: those of the pictures, and for lobes five that stay apart for
readers without colour vision."""
_OTHER: Final = "#a9b1ba"

_HEAD: Final = """\
# Label descriptions for ITK-SNAP
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
    0     0    0    0        0  0  0    "Clear Label"
"""


def title(name: str) -> str:
    """A label's name for people; of a name that is not ctlung's, the name itself as words."""
    return TITLES.get(name) or name.replace("_", " ").capitalize()


def rgb(name: str) -> tuple[int, int, int]:
    """A label's colour, 0 to 255; grey for a name that is not ctlung's."""
    colour = COLOURS.get(name, _OTHER)
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def label_text(names: Mapping[int, str]) -> str:
    """The label description file of ITK-SNAP for a label map's ``names``, in order of number."""
    lines = []
    for number, name in sorted(names.items()):
        red, green, blue = rgb(name)
        quoted = title(name).replace('"', "'")
        lines.append(f'{number:5d} {red:5d}{green:5d}{blue:5d}        1  1  1    "{quoted}"\n')
    return _HEAD + "".join(lines)
