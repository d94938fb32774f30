"""The names of the Image Biomarker Standardisation Initiative: tag, words, permanent id and unit of every feature."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["AGGREGATIONS", "FAMILIES", "Definition", "aggregations_of", "define"]


class Definition(NamedTuple):
    """What one feature is: its IBSI tag without aggregation, its words, its permanent IBSI id and the kind of unit."""

    tag: str
    words: str
    ibsi: str
    unit: str = "1"


#: IBSI ids of how texture matrices are brought together; directional families have four ways in a plane, two in 3-D.
AGGREGATIONS: Final[dict[str, str]] = {
    "2D_avg": "BTW3",
    "2D_comb": "SUJT",
    "2_5D_avg": "JJUI",
    "2_5D_comb": "ZW7Z",
    "3D_avg": "ITBB",
    "3D_comb": "IAZD",
    "2D": "8QNN",
    "2_5D": "62GR",
    "3D": "KOBO",
}


#: Unit kinds: a UCUM code, or ``i`` (intensity), ``i2`` (its square), ``i*mm3`` (intensity times volume).
_TABLES: Final[dict[str, str]] = {
    "morphology": """
        volume|volume|RNU0|mm3
        vol_approx|approximate volume|YEKZ|mm3
        area_mesh|surface area|C0JK|mm2
        av|surface to volume ratio|2PR5|mm-1
        comp_1|compactness 1|SKGS
        comp_2|compactness 2|BQWJ
        sph_dispr|spherical disproportion|KRCK
        sphericity|sphericity|QCFX
        asphericity|asphericity|25C7
        com|centre of mass shift|KLMA|mm
        diam|maximum 3D diameter|L0JK|mm
        pca_maj_axis|major axis length|TDIC|mm
        pca_min_axis|minor axis length|P9VJ|mm
        pca_least_axis|least axis length|7J51|mm
        pca_elongation|elongation|Q3CK
        pca_flatness|flatness|N17B
        vol_dens_aabb|volume density, axis-aligned bounding box|PBX1
        area_dens_aabb|area density, axis-aligned bounding box|R59B
        vol_dens_aee|volume density, approximate enclosing ellipsoid|6BDE
        area_dens_aee|area density, approximate enclosing ellipsoid|RDD2
        vol_dens_conv_hull|volume density, convex hull|R3ER
        area_dens_conv_hull|area density, convex hull|7T7F
        integ_int|integrated intensity|99N0|i*mm3
        moran_i|Moran's I index|N365
        geary_c|Geary's C measure|NPT7""",
    "local_intensity": """
        peak_loc|local intensity peak|VJGA|i
        peak_glob|global intensity peak|0F91|i""",
    "statistics": """
        mean|mean intensity|Q4LE|i
        var|intensity variance|ECT3|i2
        skew|intensity skewness|KE2A
        kurt|excess intensity kurtosis|IPH6
        median|median intensity|Y12H|i
        min|minimum intensity|1GSF|i
        p10|10th intensity percentile|QG58|i
        p90|90th intensity percentile|8DWT|i
        max|maximum intensity|84IY|i
        iqr|intensity interquartile range|SALO|i
        range|intensity range|2OJQ|i
        mad|mean absolute deviation|4FUA|i
        rmad|robust mean absolute deviation|1128|i
        medad|median absolute deviation|N72L|i
        cov|coefficient of variation|7TET
        qcod|quartile coefficient of dispersion|9S40
        energy|energy|N8CA|i2
        rms|root mean square|5ZWQ|i""",
    "histogram": """
        mean|mean discretised intensity|X6K6
        var|discretised intensity variance|CH89
        skew|discretised intensity skewness|88K1
        kurt|excess discretised intensity kurtosis|C3I7
        median|median discretised intensity|WIFQ
        min|minimum discretised intensity|1PR8
        p10|10th discretised intensity percentile|GPMT
        p90|90th discretised intensity percentile|OZ0C
        max|maximum discretised intensity|3NCY
        mode|intensity histogram mode|AMMC
        iqr|discretised intensity interquartile range|WR0O
        range|discretised intensity range|5Z3W
        mad|mean absolute deviation of discretised intensities|D2ZX
        rmad|robust mean absolute deviation of discretised intensities|WRZB
        medad|median absolute deviation of discretised intensities|4RNL
        cov|coefficient of variation of discretised intensities|CWYJ
        qcod|quartile coefficient of dispersion of discretised intensities|SLWD
        entropy|discretised intensity entropy|TLU2|bit
        uniformity|discretised intensity uniformity|BJ5W
        max_grad|maximum histogram gradient|12CE
        max_grad_g|maximum histogram gradient intensity|8E6O
        min_grad|minimum histogram gradient|VQB3
        min_grad_g|minimum histogram gradient intensity|RHQZ""",
    "ivh": """
        v10|volume at intensity fraction 0.10|BC2M
        v90|volume at intensity fraction 0.90|BC2M
        i10|intensity at volume fraction 0.10|GBPN|g
        i90|intensity at volume fraction 0.90|GBPN|g
        diff_v10_v90|volume fraction difference between intensity fractions 0.10 and 0.90|DDTU
        diff_i10_i90|intensity difference between volume fractions 0.10 and 0.90|CNV2|g
        auc|area under the intensity-volume histogram|9CMM""",
    "glcm": """
        joint_max|joint maximum|GYBY
        joint_avg|joint average|60VM
        joint_var|joint variance|UR99
        joint_entr|joint entropy|TU9B|bit
        diff_avg|difference average|TF7R
        diff_var|difference variance|D3YU
        diff_entr|difference entropy|NTRS|bit
        sum_avg|sum average|ZGXS
        sum_var|sum variance|OEEB
        sum_entr|sum entropy|P6QZ|bit
        energy|angular second moment|8ZQL
        contrast|contrast|ACUI
        dissimilarity|dissimilarity|8S9J
        inv_diff|inverse difference|IB1Z
        inv_diff_norm|normalised inverse difference|NDRX
        inv_diff_mom|inverse difference moment|WF0Z
        inv_diff_mom_norm|normalised inverse difference moment|1QCO
        inv_var|inverse variance|E8JP
        corr|correlation|NI2N
        auto_corr|autocorrelation|QWB0
        clust_tend|cluster tendency|DG8W
        clust_shade|cluster shade|7NFM
        clust_prom|cluster prominence|AE86
        info_corr1|information correlation 1|R8DG
        info_corr2|information correlation 2|JN9H""",
    "glrlm": """
        sre|short runs emphasis|22OV
        lre|long runs emphasis|W4KF
        lgre|low grey level run emphasis|V3SW
        hgre|high grey level run emphasis|G3QZ
        srlge|short run low grey level emphasis|HTZT
        srhge|short run high grey level emphasis|GD3A
        lrlge|long run low grey level emphasis|IVPO
        lrhge|long run high grey level emphasis|3KUM
        glnu|grey level non-uniformity|R5YN
        glnu_norm|normalised grey level non-uniformity|OVBL
        rlnu|run length non-uniformity|W92Y
        rlnu_norm|normalised run length non-uniformity|IC23
        r_perc|run percentage|9ZK5
        gl_var|grey level variance|8CE5
        rl_var|run length variance|SXLW
        rl_entr|run entropy|HJ9O|bit""",
    "glszm": """
        sze|small zone emphasis|5QRC
        lze|large zone emphasis|48P8
        lgze|low grey level zone emphasis|XMSY
        hgze|high grey level zone emphasis|5GN9
        szlge|small zone low grey level emphasis|5RAI
        szhge|small zone high grey level emphasis|HW1V
        lzlge|large zone low grey level emphasis|YH51
        lzhge|large zone high grey level emphasis|J17V
        glnu|grey level non-uniformity|JNSA
        glnu_norm|normalised grey level non-uniformity|Y1RO
        zsnu|zone size non-uniformity|4JP3
        zsnu_norm|normalised zone size non-uniformity|VB3A
        z_perc|zone percentage|P30P
        gl_var|grey level variance|BYLV
        zs_var|zone size variance|3NSA
        zs_entr|zone size entropy|GU8N|bit""",
    "gldzm": """
        sde|small distance emphasis|0GBI
        lde|large distance emphasis|MB4I
        lgze|low grey level zone emphasis|S1RA
        hgze|high grey level zone emphasis|K26C
        sdlge|small distance low grey level emphasis|RUVG
        sdhge|small distance high grey level emphasis|DKNJ
        ldlge|large distance low grey level emphasis|A7WM
        ldhge|large distance high grey level emphasis|KLTH
        glnu|grey level non-uniformity|VFT7
        glnu_norm|normalised grey level non-uniformity|7HP3
        zdnu|zone distance non-uniformity|V294
        zdnu_norm|normalised zone distance non-uniformity|IATH
        z_perc|zone percentage|VIWW
        gl_var|grey level variance|QK93
        zd_var|zone distance variance|7WT1
        zd_entr|zone distance entropy|GBDU|bit""",
    "ngtdm": """
        coarseness|coarseness|QCDE
        contrast|contrast|65HE
        busyness|busyness|NQ30
        complexity|complexity|HDEZ
        strength|strength|1X9X""",
    "ngldm": """
        lde|low dependence emphasis|SODN
        hde|high dependence emphasis|IMOQ
        lgce|low grey level count emphasis|TL9H
        hgce|high grey level count emphasis|OAE7
        ldlge|low dependence low grey level emphasis|EQ3F
        ldhge|low dependence high grey level emphasis|JA6D
        hdlge|high dependence low grey level emphasis|NBZI
        hdhge|high dependence high grey level emphasis|9QMG
        glnu|grey level non-uniformity|FP8K
        glnu_norm|normalised grey level non-uniformity|5SPA
        dcnu|dependence count non-uniformity|Z87G
        dcnu_norm|normalised dependence count non-uniformity|OKJI
        dc_perc|dependence count percentage|6XV8
        gl_var|grey level variance|1PFV
        dc_var|dependence count variance|DNX2
        dc_entr|dependence count entropy|FCBV|bit
        dc_energy|dependence count energy|CAS9""",
}

#: Prefix of the IBSI tags of each family.
_PREFIX: Final[dict[str, str]] = {
    "morphology": "morph",
    "local_intensity": "loc",
    "statistics": "stat",
    "histogram": "ih",
    "ivh": "ivh",
    "glcm": "cm",
    "glrlm": "rlm",
    "glszm": "szm",
    "gldzm": "dzm",
    "ngtdm": "ngt",
    "ngldm": "ngl",
}


def _read(family: str) -> tuple[Definition, ...]:
    rows = [line.strip().split("|") for line in _TABLES[family].split("\n") if line.strip()]
    return tuple(Definition(f"{_PREFIX[family]}_{row[0]}", *row[1:]) for row in rows)


#: Every family, in the order of the IBSI manual, and its features in the order their values are returned.
FAMILIES: Final[dict[str, tuple[Definition, ...]]] = {family: _read(family) for family in _TABLES}


def aggregations_of(family: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return how a family is aggregated for what is `wanted`, each once; ``("",)`` for one without textures.

    Examples
    --------
    >>> aggregations_of("glcm", ("2_5D_comb", "3D_comb"))
    ('2_5D_comb', '3D_comb')
    >>> aggregations_of("glszm", ("3D_avg", "3D_comb"))
    ('3D',)
    """
    if family in ("glcm", "glrlm"):
        return wanted
    if family in ("glszm", "gldzm", "ngtdm", "ngldm"):
        return tuple(dict.fromkeys(one.rsplit("_", 1)[0] for one in wanted))
    return ("",)


def define(family: str, wanted: tuple[str, ...]) -> list[tuple[Definition, str]]:
    """Return every column a family gives as its definition and its aggregation."""
    return [(one, how) for how in aggregations_of(family, wanted) for one in FAMILIES[family]]
