"""DICOMweb: series of an archive found by QIDO-RS and read by WADO-RS."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.storage import Cache
from integrate.errors import DataError, MissingDependencyError, ParameterError, SourceNotFoundError
from integrate.readers.dicom import DicomSeries

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DicomWebSeries", "search_dicomweb"]

ADDRESS = re.compile(r"(?P<server>https?://.+?)/studies/(?P<study>[0-9.]+)/series/(?P<series>[0-9.]+)/?")
#: Elements asked for, by what they are called in the table.
ASKED: dict[str, str] = {
    "study_uid": "0020000D",
    "series_uid": "0020000E",
    "modality": "00080060",
    "description": "0008103E",
    "instances": "00201209",
}


class DicomWebSeries(DicomSeries):
    """Read one DICOM series of an archive by its DICOMweb address, ``https://…/studies/<uid>/series/<uid>``.

    The series is fetched whole by WADO-RS and kept where remote files are kept; options, result and checks are those of
    `DicomSeries`. Credentials are those of ``~/.netrc``.

    Returns
    -------
    DataArray as of `DicomSeries`.

    Raises
    ------
    ParameterError
        If the address is not one of a series.
    SourceNotFoundError
        If the archive has no such series.
    DataError
        If the archive cannot be reached or refuses, fewer instances came than it names, or they are no regular volume.

    Examples
    --------
    >>> DicomWebSeries(url="https://pacs.example.org/dicom-web/studies/1.2.3").read()
    Traceback (most recent call last):
    ...
    integrate.errors.ParameterError: ... is no series; expected https://…/studies/<uid>/series/<uid>
    """

    def local_path(self) -> Path:
        """Return the folder of the fetched series.

        Raises
        ------
        SourceNotFoundError
            If the archive has no such series.
        DataError
            If it cannot be fetched whole.
        """
        address = str(self.kwargs["url"])
        found = ADDRESS.fullmatch(address)
        if found is None:
            if "://" in address:
                raise ParameterError(f"{address!r} is no series; expected https://…/studies/<uid>/series/<uid>")
            return super().local_path()
        cache = self.cache or Cache()
        key = "dicomweb-" + hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:32]
        if not cache.holds(key):
            cache.folder.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache.folder))
            try:
                _fetch_series(found["server"], found["study"], found["series"], place)
                cache.put(key, place)
            finally:
                shutil.rmtree(place, ignore_errors=True)
        self._served = address
        return cache.folder / key


def search_dicomweb(
    server: str, *, modality: str | None = None, patient_id: str | None = None, study_uid: str | None = None
) -> pd.DataFrame:
    """List the series of an archive, by QIDO-RS.

    Parameters
    ----------
    server
        Address of its DICOMweb service, e.g. ``"https://pacs.example.org/dicom-web"``.
    modality, patient_id, study_uid
        What to look for; everything by default.

    Returns
    -------
    DataFrame, a row per series: ``study_uid``, ``series_uid``, ``modality``, ``description``, ``instances`` (missing
    where the archive does not say) and ``url``, what `DicomWebSeries` reads. Names and dates are not asked for.

    Raises
    ------
    DataError
        If the archive cannot be reached or refuses.

    Examples
    --------
    >>> ig.search_dicomweb("http://127.0.0.1:9/dicom-web", modality="CT")
    Traceback (most recent call last):
    ...
    integrate.errors.DataError: the archive at http://127.0.0.1:9/dicom-web cannot be reached or understood ...
    """
    import pandas as pd

    wanted = {"Modality": modality, "PatientID": patient_id, "StudyInstanceUID": study_uid}
    filters = {name: value for name, value in wanted.items() if value is not None}
    told = _asked(server, lambda client: client.search_for_series(search_filters=filters, fields=list(ASKED.values())))
    rows = [{name: _value(one, tag) for name, tag in ASKED.items()} for one in told]
    table = pd.DataFrame(rows, columns=list(ASKED))
    table["instances"] = pd.to_numeric(table["instances"]).astype("Int64")
    places = zip(table["study_uid"], table["series_uid"], strict=True)
    table["url"] = [f"{server.rstrip('/')}/studies/{study}/series/{series}" for study, series in places]
    return table


def _value(told: dict[str, Any], tag: str) -> Any:
    values = told.get(tag, {}).get("Value") or [None]
    return values[0]


def _asked(server: str, ask: Any) -> Any:
    """Return what an archive answers, whose refusals are errors of ours."""
    try:
        import requests
        from dicomweb_client.api import DICOMwebClient
    except ImportError as error:
        raise MissingDependencyError(
            'reading from DICOMweb needs dicomweb-client: pip install "integrate[dicomweb]"'
        ) from error
    client = DICOMwebClient(url=server.rstrip("/"))
    client.set_http_retry_params(max_attempts=3)  # five, its default, keep who mistyped an address waiting for 30 s
    try:
        return ask(client)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        if status == 404:
            raise SourceNotFoundError(f"the archive at {server} has nothing there (404)") from error
        raise DataError(f"the archive at {server} refuses ({status}); credentials are those of ~/.netrc") from error
    except (requests.RequestException, OSError, ValueError) as error:
        raise DataError(f"the archive at {server} cannot be reached or understood ({type(error).__name__})") from error


def _fetch_series(server: str, study: str, series: str, place: Path) -> None:
    def ask(client: Any) -> int:
        count = 0
        for instance in client.iter_series(study, series, media_types=(("application/dicom", "*"),)):
            instance.save_as(place / f"{count:06d}.dcm", enforce_file_format=True)
            count += 1
        return count

    told = search_dicomweb(server, study_uid=study)
    expected = told.loc[told["series_uid"] == series, "instances"]
    if expected.empty:
        raise SourceNotFoundError(f"the archive at {server} has no series {series} in study {study}")
    count = _asked(server, ask)
    if count == 0 or (expected.notna().all() and count != int(expected.iloc[0])):
        raise DataError(f"{count} of {expected.iloc[0]} instances of series {series} came from {server}; try again")
