"""The tables of PS3.3 for dicom-validator, where dicom.nema.org cannot be reached.

dicom-validator fetches the standard when it first runs. The package ``dicom-standard`` of PyPI
(MIT) holds the same tables of April 2020: enough for every module of SEG and SR but what came
later. Enumerated values are not in it, so they go unchecked; a condition that it has lost is put
in by hand (``VALUE_MACROS``).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from html import unescape
from pathlib import Path
from typing import Any

from dicom_validator.spec_reader.condition_parser import ConditionParser
from dicom_validator.spec_reader.edition_reader import EditionReader
from dicom_validator.validator.dicom_info import DicomInfo

EDITION = "tables of April 2020, PyPI dicom-standard 0.1.0"
CONDITIONAL = ("1C", "2C", "3")
CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.88.34": "comprehensive-3d-sr",
}


def tables(folder: Path) -> DicomInfo:
    """What dicom-validator would have made of the standard, for SEG and Comprehensive 3D SR."""
    dictionary = _dictionary(_load(folder, "attributes"))
    parser = ConditionParser(dictionary)
    names = {m["id"]: m["name"] for m in _load(folder, "modules") + _load(folder, "macros")}
    used = [m for m in _load(folder, "ciod_to_modules") if m["ciodId"] in CLASSES.values()]
    groups = [m for m in _load(folder, "ciod_to_fg_macros") if m["ciodId"] in CLASSES.values()]
    modules = _trees(
        _load(folder, "module_to_attributes"), "moduleId", {m["moduleId"] for m in used}
    )
    macros = _trees(_load(folder, "macro_to_attributes"), "macroId", {m["macroId"] for m in groups})
    iods = {}
    for uid, ciod in CLASSES.items():
        iods[uid] = {
            "title": ciod,
            "modules": _uses([m for m in used if m["ciodId"] == ciod], "moduleId", names, parser),
            "group_macros": _uses(
                [m for m in groups if m["ciodId"] == ciod], "macroId", names, parser
            ),
        }
    described = {
        key: _described(tree, dictionary, parser) for key, tree in {**modules, **macros}.items()
    }
    for key, module in described.items():
        if key.endswith("multi-frame-functional-groups"):
            _open_to_groups(module)
    _nest_content(described, parser)
    plain = json.loads(EditionReader.dump_description({"iods": iods, "modules": described}))
    return DicomInfo(dictionary, plain["iods"], plain["modules"])


def _load(folder: Path, name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return loaded


def _dictionary(attributes: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        a["tag"]: {
            "name": a["name"],
            "vr": a["valueRepresentation"],
            "vm": a["valueMultiplicity"],
            "prop": "Retired" if a["retired"] == "Y" else "",
        }
        for a in attributes
    }


def _trees(rows: list[dict[str, Any]], kind: str, wanted: set[str]) -> dict[str, Any]:
    """The attributes of each module as they nest: tag to (row, what is inside)."""
    found: dict[str, Any] = defaultdict(dict)
    for row in sorted(rows, key=lambda r: r["path"].count(":")):
        name, *tags = row["path"].split(":")
        if row[kind] not in wanted:
            continue
        level = found[name]
        for tag in tags[:-1]:
            level = level[tag][1]
        level[tags[-1]] = (row, {})
    return {key: tree for key, tree in found.items() if key in wanted}


def _described(tree: Any, dictionary: Any, parser: ConditionParser) -> dict[str, Any]:
    out = {}
    for row, inside in tree.values():
        entry = {"name": dictionary.get(row["tag"], {}).get("name", ""), "type": row["type"]}
        if row["type"] in CONDITIONAL:
            condition = parser.parse(_text(row["description"]))
            if condition.type.value != "U":
                entry["cond"] = condition
        if inside:
            entry["items"] = _described(inside, dictionary, parser)
        out[row["tag"]] = entry
    return out


def _uses(
    rows: list[dict[str, Any]], kind: str, names: dict[str, str], parser: ConditionParser
) -> dict[str, Any]:
    out = {}
    for row in rows:
        text = row["usage"] + (
            f" - {row['conditionalStatement']}" * bool(row["conditionalStatement"])
        )
        entry: dict[str, Any] = {"ref": row[kind], "use": text}
        if len(text) > 1:
            entry["cond"] = parser.parse(text)
        out[names[row[kind]]] = entry
    return out


def _open_to_groups(module: dict[str, Any]) -> None:
    """Inside the two sequences of functional groups stand those of the object."""
    for tag in ("(5200,9229)", "(5200,9230)"):
        module[tag]["items"] = {"include": [{"ref": "FuncGroup"}]}


VALUE_MACROS = {
    "(0008,1199)": ("IMAGE", "COMPOSITE", "WAVEFORM"),
    "(0040,A050)": ("CONTAINER",),
    "(0040,A130)": ("TCOORD",),
    "(0040,A138)": ("TCOORD",),
    "(0040,A13A)": ("TCOORD",),
    "(0040,A168)": ("CODE",),
    "(0040,A300)": ("NUM",),
    "(0070,0022)": ("SCOORD", "SCOORD3D"),
    "(0070,0023)": ("SCOORD", "SCOORD3D"),
    "(3006,0024)": ("SCOORD3D",),
}
"""What PS3.3 includes in a content item if and only if it has this value type. The package has
the included rows and has lost the condition."""


def _nest_content(described: dict[str, Any], parser: ConditionParser) -> None:
    """Content items hold content items, as deep as they like."""
    top = described["sr-document-content"]
    items = top["(0040,A730)"]["items"]
    described["content-item"] = items
    for level in (top, items):
        for tag, kinds in VALUE_MACROS.items():
            told = " or ".join(f'"{kind}"' for kind in kinds)
            level[tag]["cond"] = parser.parse(f"Required if Value Type (0040,A040) is {told}.")
            level[tag]["type"] = "1C"
        level["(0040,A730)"] = {
            "name": "Content Sequence",
            "type": "3",
            "items": {"include": [{"ref": "content-item"}]},
        }


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", html)).replace("\xa0", " ")
