"""Standardised uptake: the factor from activity concentration to SUV that a PET series states the parts of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from integrate.errors import DataError
from integrate.readers.dicom_files import Slice

__all__ = ["suv_body_weight"]

#: A dose below this is written in another unit than becquerel, as some systems do.
LEAST_DOSE_BQ = 1e5


def suv_body_weight(slices: Sequence[Slice]) -> dict[str, Any]:
    """Return the factor that turns the values of a PET series into SUV by body weight, and what it was made of.

    Parameters
    ----------
    slices
        Every slice of the series.

    Returns
    -------
    ``{"type": "bw", "factor": …, "decay_s": …, "half_life_s": …}``; ``value * factor`` is in g/mL. Neither weight nor
    dose nor a date is in it.

    Raises
    ------
    DataError
        If the series is no PET, is not in Bq/mL (or already SUV), or does not state weight, dose, half-life and times.

    Notes
    -----
    ``weight · 1000 / (dose · 2^(−t / half-life))`` where t runs from injection to the time the activity is
    decay-corrected to: the series time for ``DecayCorrection`` START, zero for ADMIN (QIBA). Leaving the decay out is
    an error of 1.46 after one hour of fluorine-18.
    """
    header = slices[0].header
    if header.get("Modality") != "PT":
        raise DataError(f"suv= is for PET, these files are {header.get('Modality')!r}")
    unit = str(header.get("Units", ""))
    if unit == "GML" and str(header.get("SUVType") or "BW") == "BW":
        return {"type": "bw", "factor": 1.0, "decay_s": None, "half_life_s": None}
    if unit != "BQML":
        raise DataError(
            f"SUV needs activity in BQML, the files are in {unit or 'no stated unit'}; read them without suv="
        )
    weight = _number(header, "PatientWeight")
    tracer = (header.get("RadiopharmaceuticalInformationSequence") or [None])[0]
    if tracer is None:
        raise DataError("the series does not describe its tracer (RadiopharmaceuticalInformationSequence); no SUV")
    dose, half_life = _number(tracer, "RadionuclideTotalDose"), _number(tracer, "RadionuclideHalfLife")
    if dose < LEAST_DOSE_BQ:
        raise DataError(f"RadionuclideTotalDose is {dose:g}; expected Bq, this looks like another unit")
    correction = str(header.get("DecayCorrection", ""))
    if correction not in ("START", "ADMIN"):
        raise DataError(f"DecayCorrection is {correction or 'not stated'!r}; expected START or ADMIN")
    decay_s = 0.0 if correction == "ADMIN" else _scan_time(slices, tracer)
    factor = weight * 1000 / (dose * 2 ** (-decay_s / half_life))
    return {"type": "bw", "factor": factor, "decay_s": decay_s, "half_life_s": half_life}


def _number(dataset: Any, keyword: str) -> float:
    value = dataset.get(keyword)
    if value in (None, "") or not float(value) > 0:
        raise DataError(f"{keyword} is {value!r}; SUV needs a positive number")
    return float(value)


def _scan_time(slices: Sequence[Slice], tracer: Any) -> float:
    """Return the seconds from injection to the time the activity is corrected to."""
    header = slices[0].header
    start = _moment(header, "SeriesDate", "SeriesTime")
    acquired = [_moment(one.header, "AcquisitionDate", "AcquisitionTime") for one in slices]
    if start is None or None in acquired:
        raise DataError("the series does not state SeriesTime and AcquisitionTime; SUV needs the time of the scan")
    if start > min(moment for moment in acquired if moment is not None):
        raise DataError(
            "SeriesTime is later than the first AcquisitionTime: the series was processed again, and what time its "
            "activity refers to is not stated; use the original series"
        )
    stated = tracer.get("RadiopharmaceuticalStartDateTime")
    if stated:
        injected = datetime.strptime(str(stated)[:14], "%Y%m%d%H%M%S")
    else:
        injected_at = _moment_of(start.strftime("%Y%m%d"), str(tracer.get("RadiopharmaceuticalStartTime") or ""))
        if injected_at is None:
            raise DataError("the time of injection is not stated; SUV needs RadiopharmaceuticalStartTime")
        injected = injected_at - timedelta(days=1) if injected_at > start else injected_at
    seconds = (start - injected).total_seconds()
    if not 0 <= seconds < 24 * 3600:
        raise DataError(f"injection lies {seconds / 3600:.1f} h before the scan; expected 0 to 24 h")
    return seconds


def _moment(header: Any, date: str, time: str) -> datetime | None:
    return _moment_of(str(header.get(date) or ""), str(header.get(time) or ""))


def _moment_of(date: str, time: str) -> datetime | None:
    if len(date) != 8 or len(time) < 4:
        return None
    whole, _, part = time.partition(".")
    return datetime.strptime(date + whole.ljust(6, "0"), "%Y%m%d%H%M%S") + timedelta(seconds=float(f"0.{part or 0}"))
