"""Bands of CT numbers counted over the lung: ctlung's own preset and the published ones.

The only place where their edges stand. A band is not a lesion: it counts voxels of lung, and
vessels, airway walls and dependent lung fall into the dense ones, so none of those is 0 in
health.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Edge = int | str | None
"""HU; or the setting that holds the edge; or ``None`` where a band has no end."""


@dataclass(frozen=True)
class Band:
    """Half-open band of whole HU, ``lower <= HU < upper`` (FIELD 2.2).

    Attributes:
        preset, name: together the first part of the names of its measures.
        lower_hu, upper_hu: the edges. Published closed ranges [a, b] stand here as [a, b + 1).
        source: who published it.
        mark: ``v`` checked against the source, ``m`` not checked, ``d`` decided for ctlung.
        trap: what a reader must know.
        tail: one end of the histogram, which kernel, noise and thickness move.
        ml: whether it is given in ml too, not only in percent of lung.
    """

    preset: str
    name: str
    lower_hu: Edge
    upper_hu: Edge
    source: str
    mark: str
    trap: str = ""
    tail: bool = False
    ml: bool = False

    @property
    def stem(self) -> str:
        """Name of its measures without their unit."""
        return f"{'band' if self.preset == 'ctlung' else self.preset}_{self.name}"

    @property
    def percent_measure(self) -> str:
        """Name of the measure in percent of lung."""
        return f"{self.stem}_percent"

    @property
    def ml_measure(self) -> str | None:
        """Name of the measure in ml, if there is one."""
        return f"{self.stem}_ml" if self.ml else None

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of its measures."""
        ml = self.ml_measure
        return (self.percent_measure,) if ml is None else (ml, self.percent_measure)

    @property
    def words(self) -> str:
        """The band as an inequality."""
        if self.lower_hu is None:
            return f"HU < {self.upper_hu}"
        if self.upper_hu is None:
            return f"HU >= {self.lower_hu}"
        return f"{self.lower_hu} <= HU < {self.upper_hu}"

    def edges_hu(self, settings: Mapping[str, int]) -> tuple[int | None, int | None]:
        """Lower and upper edge, with the values of the settings that hold them."""
        lower, upper = (
            settings[edge] if isinstance(edge, str) else edge
            for edge in (self.lower_hu, self.upper_hu)
        )
        return lower, upper


def _own(name: str, lower: Edge, upper: Edge, trap: str, tail: bool = False) -> Band:
    return Band("ctlung", name, lower, upper, "ctlung's own preset", "d", trap, tail, ml=True)


_HYPERLUCENT: Final = "hyperlucent_upper_hu"
_GROUND_GLASS: Final = "ground_glass_lower_hu"
_CONSOLIDATION: Final = "consolidation_lower_hu"
_DENSE: Final = "consolidation_upper_hu"

OWN_EDGES: Final = (_HYPERLUCENT, _GROUND_GLASS, _CONSOLIDATION, _DENSE)
"""The settings between ctlung's own bands, from below."""

_CONTRAST: Final = "With contrast the edge is consolidation_upper_contrast_hu"

OWN: Final = (
    _own("hyperlucent", None, _HYPERLUCENT, "Holds the noise of a sharp kernel too.", tail=True),
    _own("aerated", _HYPERLUCENT, _GROUND_GLASS, "A shallow breath moves lung out of it."),
    _own(
        "ground_glass",
        _GROUND_GLASS,
        _CONSOLIDATION,
        "Not a lesion: borders of vessels, dependent lung and a shallow breath are in it.",
    ),
    _own("consolidation", _CONSOLIDATION, _DENSE, f"Not a lesion: holds vessels. {_CONTRAST}."),
    _own("dense", _DENSE, None, f"The voxels of dense_ml; not a lesion. {_CONTRAST}."),
)
"""The default preset: a partition of the lung."""

_GATTINONI: Final = "Gattinoni 2001, 2006; Cressoni 2013"
_CIP: Final = "ChestImagingPlatform"
_LCTA: Final = "Lung CT Analyzer"
_COVID: Final = "several COVID tools"
_ABOVE: Final = "No upper bound, so not haa_600_250."
_GAS_TRAPPING: Final = "Gas trapping; means that in an expiratory scan only."

PUBLISHED: Final = (
    Band(
        "gattinoni",
        "hyperinflated",
        -1000,
        -900,
        _GATTINONI,
        "m",
        "Leaves out what lies below -1000 HU.",
        tail=True,
    ),
    Band("gattinoni", "normally_aerated", -900, -500, _GATTINONI, "m"),
    Band("gattinoni", "poorly_aerated", -500, -100, _GATTINONI, "m", "18 % by weight in health."),
    Band(
        "gattinoni",
        "non_aerated",
        -100,
        101,
        _GATTINONI,
        "m",
        "7 % by weight in health. What is above it is in no band.",
    ),
    Band("hyperinflated", "900", None, -900, "ARDS usage", "m", "No lower bound.", tail=True),
    Band(
        "colombi",
        "well_aerated",
        -950,
        -700,
        "Colombi 2020",
        "m",
        "Its cut-offs: below 71 %, below 2.9 l.",
        ml=True,
    ),
    Band("lanza", "compromised", -500, 101, "Lanza 2020", "m", "Poorly and non aerated."),
    Band(
        "haa",
        "600_250",
        -600,
        -250,
        "haa_mesa; Podolanczuk 2016",
        "v",
        "Median 4.3 % in healthy never-smokers (Easthausen 2020).",
        tail=True,
    ),
    Band("laa", "950", None, -950, "emphysema index", "m", "In full inspiration.", tail=True),
    Band("laa", "910", None, -910, "emphysema index", "m", "In full inspiration.", tail=True),
    Band("laa", "856", None, -856, "Mets 2012", "v", _GAS_TRAPPING, tail=True),
    # Their inequalities are strict: below -t, above -t.
    *(
        Band("cip", f"laa_{t}", None, -t, _CIP, "v", _GAS_TRAPPING * (t == 856), tail=True)
        for t in (950, 925, 910, 905, 900, 875, 856)
    ),
    *(
        Band("cip", f"haa_{t}", 1 - t, None, _CIP, "v", _ABOVE, tail=True)
        for t in (700, 600, 500, 250)
    ),
    Band("lcta", "emphysema", -1050, -950, _LCTA, "v", tail=True),
    Band("lcta", "inflated", -950, -750, _LCTA, "v"),
    Band("lcta", "infiltrated", -750, -400, _LCTA, "v", "Not 0 in health."),
    Band("lcta", "collapsed", -400, 0, _LCTA, "v", "Not 0 in health."),
    Band(
        "lcta",
        "vessels",
        0,
        3000,
        _LCTA,
        "v",
        "By density alone; from 3000 HU on there is no band.",
    ),
    Band("covid", "ground_glass", -750, -300, _COVID, "m", "Not 0 in health."),
    Band("covid", "consolidation", -300, 50, _COVID, "m", "Cuts airless lung and its noise off."),
)

BANDS: Final = OWN + PUBLISHED
"""All bands that are counted over the lung."""

HIGH_OPACITY: Final = Band("siemens", "high_opacity", -200, None, "PHO, Chaganti 2020", "m")
"""Counted over the lesions, not over the lung."""
