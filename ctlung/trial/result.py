"""The result of a trial: lines of one tidy table, and everyone who is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ctlung.trial.selection import Patient, Schedule

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "section", "measure", "role", "arm", "what", "n", "value", "low", "high", "statistic", "p",
    "p_holm", "exact", "text",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the result: an estimate, a test, a count or a sentence."""

    section: str
    measure: str = ""
    role: str = ""
    arm: str = ""
    what: str = ""
    n: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    statistic: float | None = None
    p: float | None = None
    p_holm: float | None = None
    exact: bool | None = None
    text: str = ""


@dataclass(frozen=True)
class Cohort:
    """The result of a trial.

    Attributes:
        patients: everyone in the manifest.
        arms: treated and control; empty while the arms are hidden.
        rows: all lines, in the order of the report.
        randomised: the user said so.
        schedule: how the primary follow-up was chosen.
        methods: a paragraph for a paper, in Markdown.
    """

    patients: tuple[Patient, ...]
    arms: tuple[str, ...]
    rows: tuple[Row, ...]
    randomised: bool
    schedule: Schedule = field(default_factory=Schedule)
    methods: str = ""

    def to_frame(self) -> pd.DataFrame:
        """One row per line of the result."""
        import pandas as pd

        return pd.DataFrame([vars(r) for r in self.rows], columns=list(COLUMNS))
