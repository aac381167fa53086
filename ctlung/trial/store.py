"""The results of a batch as one tidy table: every number, notice, failure and origin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctlung.errors import OutputError, UnreadableFile
from ctlung.trial.jobs import Job, Outcome
from ctlung.vocabulary import MEASURES, PAIR_MEASURES

if TYPE_CHECKING:
    import pandas as pd

TABLE = "results"
COLUMNS: Mapping[str, str] = {
    "patient": "string",
    "visit": "Int64",
    "against": "Int64",
    "kind": "string",
    "region": "string",
    "name": "string",
    "unit": "string",
    "value": "Float64",
    "low": "Float64",
    "high": "Float64",
    "baseline": "Float64",
    "followup": "Float64",
    "floor": "Float64",
    "within_noise": "boolean",
    "claimed": "boolean",
    "reason": "string",
    "text": "string",
}
"""Columns of the table and their pandas types. ``kind`` is ``measurement`` (``value`` with its
interval), ``change`` (``value`` is follow-up less ``against``), ``transition`` (ml, ``name`` from
tissue to tissue), ``notice`` (``name`` the code, ``reason`` its effect, ``text`` the sentence),
``provenance`` (``text``), or ``outcome`` (``reason`` done, refused or failed, with code and
sentence)."""

_Row = dict[str, Any]


def table_of(jobs: Sequence[Job], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """All rows of all jobs, in the order of the jobs, which is that of patients and visits.

    Raises:
        UnreadableFile: a finished folder was damaged since.
    """
    import pandas as pd

    rows: list[_Row] = []
    for job in jobs:
        outcome = outcomes.get(job.name)
        if outcome is not None:
            rows.extend(_rows(job, outcome))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict(COLUMNS))


def write_table(table: pd.DataFrame, out: Path) -> None:
    """``results.csv`` and ``results.parquet``, each whole or not at all, the same bytes each time.

    Raises:
        OutputError: the disk is full or may not be written.
    """
    for ending in ("csv", "parquet"):
        path = out / f"{TABLE}.{ending}"
        part = out / f".{TABLE}.{ending}.part"
        try:
            if ending == "csv":
                table.to_csv(part, index=False, lineterminator="\n")
            else:
                table.to_parquet(part, index=False, engine="pyarrow")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(
                f"{path} could not be written ({error.strerror}); free some space and run the "
                "same command again: what is finished stays.",
                code="disk_full",
            ) from error


def read_table(source: str | Path) -> pd.DataFrame:
    """The table of a batch: its folder, or ``results.parquet`` or ``results.csv`` itself.

    Raises:
        UnreadableFile: there is none, or it is no table of ctlung.
    """
    import pandas as pd

    path = Path(source)
    if path.is_dir():
        path = path / f"{TABLE}.parquet"
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path, engine="pyarrow")
        else:
            frame = pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
            for name, kind in COLUMNS.items():
                if kind == "boolean":
                    frame[name] = frame[name].map({"True": True, "False": False})
                elif kind != "string":
                    frame[name] = pd.to_numeric(frame[name])
        return frame[list(COLUMNS)].astype(dict(COLUMNS))
    except FileNotFoundError:
        raise UnreadableFile(
            f"{path} is not there; give the folder that `ctlung batch` wrote.", code="no_table"
        ) from None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UnreadableFile(
            f"{path} is not a results table of this version of ctlung ({type(error).__name__}); "
            "run `ctlung batch` again.",
            code="no_table",
        ) from None


@dataclass(frozen=True)
class Tally:
    """How a batch went: scans, how many were measured, and a line for all that went wrong."""

    scans: int
    measured: int
    troubles: tuple[str, ...]


def tally_of(table: pd.DataFrame) -> Tally:
    """Count the outcomes of a table."""
    import pandas as pd

    outcomes = table[table["kind"] == "outcome"]
    scans = outcomes[outcomes["against"].isna()]
    troubles = []
    for row in outcomes[outcomes["reason"] != "done"].to_dict("records"):
        against = row["against"]
        pair = "" if pd.isna(against) else f" against visit {against}"
        text = f"{row['text']} ({row['name']})"
        troubles.append(f"{row['patient']} visit {row['visit']}{pair}: {text}")
    return Tally(len(scans), int((scans["reason"] == "done").sum()), tuple(troubles))


def _rows(job: Job, outcome: Outcome) -> Iterator[_Row]:
    base: _Row = {
        "patient": job.row.patient,
        "visit": job.row.visit,
        "against": None if job.against is None else job.against.visit,
    }
    yield {
        **base,
        "kind": "outcome",
        "name": outcome.code or None,
        "reason": outcome.state,
        "text": outcome.sentence or None,
    }
    if outcome.state != "done":
        return
    document = _document(job)
    found = _of_scan(document) if job.against is None else _of_pair(document)
    for row in found:
        yield {**base, **row}


def _document(job: Job) -> Mapping[str, Any]:
    path = job.folder / ("report.json" if job.against is None else "comparison.json")
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UnreadableFile(
            f"{path} was finished and cannot be read any more; remove its folder and run the same "
            "command again.",
            code="report",
        ) from None
    return document


def _of_scan(document: Mapping[str, Any]) -> Iterator[_Row]:
    for m in document["measurements"]:
        yield {
            "kind": "measurement",
            "region": m["region"],
            "name": m["measure"],
            "unit": m["unit"],
            "value": m["value"],
            "low": m["low"],
            "high": m["high"],
            "reason": m["reason"],
        }
    yield from _notices(document)
    provenance = document["provenance"]
    facts = {k: v for k, v in provenance.items() if k not in ("acquisition", "identifiers")}
    for name, value in sorted({**provenance["acquisition"], **facts}.items()):
        if value not in (None, "", {}, []):
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            yield {"kind": "provenance", "name": name, "text": text}


def _of_pair(document: Mapping[str, Any]) -> Iterator[_Row]:
    for c in document["changes"]:
        about = MEASURES.get(c["measure"]) or PAIR_MEASURES[c["measure"]]
        yield {
            "kind": "change",
            "region": c["region"],
            "name": c["measure"],
            "unit": about.unit,
            "value": c["delta"],
            **{k: c[k] for k in ("low", "high", "baseline", "followup", "floor")},
            **{k: c[k] for k in ("within_noise", "claimed", "reason")},
        }
    voxelwise = document.get("voxelwise") or {}
    for t in voxelwise.get("transitions") or []:
        yield {
            "kind": "transition",
            "region": "lungs",
            "name": f"{t['before']} to {t['after']}",
            "unit": "ml",
            "value": t["ml"],
        }
    yield from _notices(document)
    for name in ("days", "days_since_infusion", "days_since_onset"):
        if document.get(name) is not None:
            yield {"kind": "provenance", "name": name, "text": json.dumps(document[name])}


def _notices(document: Mapping[str, Any]) -> Iterator[_Row]:
    for n in document["notices"]:
        yield {"kind": "notice", "name": n["code"], "reason": n["effect"], "text": n["sentence"]}
