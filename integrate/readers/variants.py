"""Variants: how many each sample has in each gene, from MAF and annotated VCF files."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from integrate.errors import DataError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import anndata as ad

__all__ = ["Maf", "Vcf"]

#: Classes of the MAF standard that change the protein.
CHANGING: tuple[str, ...] = (
    "Frame_Shift_Del", "Frame_Shift_Ins", "In_Frame_Del", "In_Frame_Ins", "Missense_Mutation", "Nonsense_Mutation",
    "Nonstop_Mutation", "Splice_Site", "Translation_Start_Site",
)  # fmt: skip


class Maf(Reader):
    r"""Count the variants of a MAF file per sample and gene.

    Parameters
    ----------
    classes
        Values of ``Variant_Classification`` to count; by default those that change the protein. ``[]`` counts all.
    samples
        Samples that were sequenced; those without any variant get rows of 0. Without it only samples of the file are
        rows: whoever has no variant is not there, which is not the same as not sequenced.
    keys
        ``obs_names`` to the namespace of the sample ids.

    Returns
    -------
    AnnData of counts, samples × genes. ``obs["variants"]`` counts all of a sample; ``attrs`` (``uns["integrate"]``)
    has ``classes`` and ``not_counted`` (how many of each other class).

    Raises
    ------
    DataError
        If the file is no MAF, is damaged, or holds a sample that ``samples`` does not name.

    Examples
    --------
    >>> columns = ["Hugo_Symbol", "Tumor_Sample_Barcode", "Variant_Classification"]
    >>> rows = [columns, ["TP53", "S1", "Missense_Mutation"], ["TP53", "S2", "Silent"]]
    >>> _ = (tmp_path / "a.maf").write_text("".join("\t".join(row) + "\n" for row in rows))
    >>> Maf(url=tmp_path / "a.maf").read().to_df()["TP53"].to_dict()
    {'S1': 1.0, 'S2': 0.0}
    """

    output_instance = "anndata:AnnData"

    def _open(
        self,
        path: Path,
        *,
        classes: Sequence[str] = CHANGING,
        samples: Sequence[str] | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> ad.AnnData:
        lines = (line for line in _lines(path) if not line.startswith("#"))
        header = next(lines, "").split("\t")
        wanted = ("Hugo_Symbol", "Tumor_Sample_Barcode", "Variant_Classification")
        absent = [name for name in wanted if name not in header]
        if absent:
            raise DataError(f"{path.name} is no MAF; it has no column {some(absent)}, but {some(header, limit=8)}")
        gene, sample, kind = (header.index(name) for name in wanted)
        counts: Counter[tuple[str, str]] = Counter()
        skipped: Counter[str] = Counter()
        seen: dict[str, int] = {}
        for number, line in enumerate(lines, start=2):
            fields = line.split("\t")
            if len(fields) != len(header):
                raise DataError(f"row {number} of {path.name} has {len(fields)} fields, the header {len(header)}")
            seen.setdefault(fields[sample], 0)
            if classes and fields[kind] not in classes:
                skipped[fields[kind]] += 1
            else:
                seen[fields[sample]] += 1
                counts[fields[sample], fields[gene]] += 1
        rows = _rows(list(seen), samples, path)
        notes = {"keys": dict(keys or {}), "classes": list(classes), "not_counted": dict(skipped)}
        return _table(counts, rows, notes)


class Vcf(Reader):
    r"""Count the variants of an annotated VCF file per sample and gene.

    Genes are those that VEP (``CSQ``) or SnpEff (``ANN``) wrote into the file; variants without a gene are counted in
    the notes.

    Parameters
    ----------
    passed_only
        Whether only variants whose filter is ``PASS`` or ``.`` count.
    keys
        ``obs_names`` to the namespace of the sample ids.

    Returns
    -------
    AnnData of counts, samples × genes: variants of the gene of which the sample carries an allele; NaN where every
    genotype of the sample in that gene is missing. ``obs["variants"]`` counts all of a sample.

    Raises
    ------
    DataError
        If the file is no VCF, is damaged, names no samples, or no tool annotated its genes.

    Examples
    --------
    >>> lines = ["##fileformat=VCFv4.2"]
    >>> lines += ['##INFO=<ID=CSQ,Number=.,Type=String,Description="by VEP. Format: Allele|Consequence|SYMBOL">']
    >>> lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2"]
    >>> lines += ["17\t1\t.\tA\tT\t9\tPASS\tCSQ=T|missense|TP53\tGT\t0/1\t0/0"]
    >>> _ = (tmp_path / "a.vcf").write_text("\n".join(lines) + "\n")
    >>> Vcf(url=tmp_path / "a.vcf").read().to_df()["TP53"].to_dict()
    {'S1': 1.0, 'S2': 0.0}
    """

    output_instance = "anndata:AnnData"

    def _open(self, path: Path, *, passed_only: bool = True, keys: Mapping[str, str] | None = None) -> ad.AnnData:
        finder, samples, body = _vcf_header(path)
        counts: Counter[tuple[str, str]] = Counter()
        called: set[tuple[str, str]] = set()
        unknown: set[tuple[str, str]] = set()
        left: Counter[str] = Counter()
        for line in body:
            fields = line.split("\t")
            if len(fields) != 9 + len(samples):
                raise DataError(
                    f"a line of {path.name} has {len(fields)} fields, expected {9 + len(samples)}; it is cut off"
                )
            if passed_only and fields[6] not in ("PASS", "."):
                left["filtered"] += 1
                continue
            genes = _genes(fields[7], finder)
            if not genes:
                left["without gene"] += 1
            for sample, value in zip(samples, fields[9:], strict=True):
                alleles = re.split(r"[/|]", value.split(":")[0])
                for gene in genes:
                    (unknown if set(alleles) == {"."} else called).add((sample, gene))
                    if any(one not in (".", "0") for one in alleles):
                        counts[sample, gene] += 1
        made = _table(counts, samples, {"keys": dict(keys or {}), "left_out": dict(left)}, genes=called | unknown)
        place = {name: i for i, name in enumerate(made.obs_names)}, {name: i for i, name in enumerate(made.var_names)}
        for sample, gene in unknown - called:
            made.X[place[0][sample], place[1][gene]] = float("nan")
        return made


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, which may be compressed; a last line without its end is an error."""
    try:
        with _opened(path) as stream:
            line = "\n"
            for line in stream:
                if line.strip():
                    yield line.rstrip("\r\n")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path.name} is not a readable text file ({error}); it may be truncated") from error
    if not line.endswith("\n"):
        raise DataError(f"the last line of {path.name} is not complete; the file is cut off, copy it again")


def _opened(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _vcf_header(path: Path) -> tuple[tuple[str, int], list[str], Iterator[str]]:
    """Return where genes are annotated (field of INFO, position in it), the samples, and the lines that follow."""
    lines = _lines(path)
    if not next(lines, "").startswith("##fileformat=VCF"):
        raise DataError(f"{path.name} is no VCF; it does not begin with ##fileformat=VCF")
    finder: tuple[str, int] | None = None
    for line in lines:
        if line.startswith("##INFO=<ID=CSQ") and (told := re.search(r"Format: ([^\">]+)", line)):
            parts = told[1].split("|")
            finder = ("CSQ", parts.index("SYMBOL")) if "SYMBOL" in parts else finder
        elif line.startswith("##INFO=<ID=ANN"):
            finder = finder or ("ANN", 3)
        elif line.startswith("#CHROM"):
            samples = line.split("\t")[9:]
            if not samples:
                raise DataError(f"{path.name} names no samples; there is nothing to count")
            if finder is None:
                raise DataError(
                    f"{path.name} has no gene annotation (CSQ or ANN); annotate it with VEP or SnpEff first"
                )
            return finder, samples, lines
    raise DataError(f"{path.name} has no line #CHROM; it is truncated")


def _genes(info: str, finder: tuple[str, int]) -> set[str]:
    for field in info.split(";"):
        name, _, value = field.partition("=")
        if name == finder[0]:
            found = {parts[finder[1]] for one in value.split(",") if len(parts := one.split("|")) > finder[1]}
            return found - {""}
    return set()


def _rows(found: list[str], samples: Sequence[str] | None, path: Path) -> list[str]:
    strangers = [one for one in found if samples is not None and one not in set(samples)]
    if strangers:
        raise DataError(f"{len(strangers)} samples of {path.name} are not among samples=: {some(strangers)}")
    return sorted(found) if samples is None else [str(one) for one in samples]


def _table(
    counts: Mapping[tuple[str, str], int],
    samples: Sequence[str],
    notes: dict[str, Any],
    *,
    genes: set[tuple[str, str]] | None = None,
) -> ad.AnnData:
    import anndata as ad
    import numpy as np
    import pandas as pd

    names = sorted({gene for _, gene in (genes if genes is not None else counts)})
    row, column = {one: i for i, one in enumerate(samples)}, {one: i for i, one in enumerate(names)}
    values = np.zeros((len(samples), len(names)), np.float32)
    for (sample, gene), count in counts.items():
        values[row[sample], column[gene]] = count
    obs = pd.DataFrame({"variants": values.sum(axis=1).astype(int)}, index=list(samples))
    made = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=names))
    made.uns[ATTRS] = notes
    return made
