"""Microscope files in the published layout of their vendors, written here because no library writes them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0x0ABECEDA


def variant(name: str, value: Any) -> bytes:
    """Return one value in the binary form of ND2 metadata (types 1 bool, 3 uint32, 6 double, 8 text, 11 level)."""
    text = (name + "\0").encode("utf-16-le")
    head = bytes([len(name) + 1]) + text
    if isinstance(value, dict):
        parts = [variant(inner, held) for inner, held in value.items()]
        start = 2 + len(text)
        offsets = np.cumsum([start + 12, *map(len, parts)])[:-1].astype("<u8").tobytes()
        length = start + 12 + sum(map(len, parts))
        return b"\x0b" + head + struct.pack("<IQ", len(parts), length) + b"".join(parts) + offsets
    if isinstance(value, bool):
        return b"\x01" + head + struct.pack("<B", value)
    if isinstance(value, int):
        return b"\x03" + head + struct.pack("<I", value)
    if isinstance(value, float):
        return b"\x06" + head + struct.pack("<d", value)
    return b"\x08" + head + (value + "\0").encode("utf-16-le")


def indexed(values: list[Any]) -> dict[str, Any]:
    """Return a list as ND2 keeps it."""
    return {f"i{number:010d}": value for number, value in enumerate(values)}


def nd2_loops(t: int, positions: list[tuple[str, float, float]], z: int, *, z_step_um: float) -> dict[str, Any]:
    """Return an experiment: time around positions around planes."""
    points = [{"dPosX": x, "dPosY": y, "dPosZ": 0.0, "dPosName": name} for name, x, y in positions]
    depth = {"uiCount": z, "dZLow": 0.0, "dZHigh": (z - 1) * z_step_um, "dZStep": z_step_um, "dZHome": 0.0, "iType": 2}
    stack = {"eType": 4, "uLoopPars": depth}
    places = {"eType": 2, "uLoopPars": {"bUseZ": False, "Points": indexed(points)}, "ppNextLevelEx": indexed([stack])}
    times = {"uiCount": t, "dStart": 0.0, "dPeriod": 5000.0, "dDuration": 5000.0 * t}
    return {"eType": 1, "uLoopPars": times, "ppNextLevelEx": indexed([places])}


def write_nd2(
    file: Path,
    frames: list[np.ndarray],
    *,
    names: list[str],
    loops: dict[str, Any] | None = None,
    pixel_um: float | None = 0.25,
    times_ms: list[float] | None = None,
    planned: int | None = None,
    colour: bool = False,
) -> str:
    """Write frames ``(y, x, components)`` as an ND2 of version 3.0, with the chunks that readers need."""
    rows, columns, components = frames[0].shape
    bits = frames[0].dtype.itemsize * 8
    attributes = {
        **{"uiWidth": columns, "uiWidthBytes": columns * components * bits // 8, "uiHeight": rows},
        **{"uiComp": components, "uiBpcInMemory": bits, "uiBpcSignificant": bits, "eCompression": 2},
        "uiSequenceCount": len(frames) if planned is None else planned,
    }
    spectrum = {"uiCount": 1, "pPoint": {"Point0": {"eType": 4, "dTValue": 1.0, "dWavelength": 461.0}}}
    probe = {"m_ExcitationSpectrum": spectrum, "m_EmissionSpectrum": spectrum}
    planes = [
        {"sDescription": name, "uiCompCount": 3 if colour else 1, "uiColor": 255, "pFluorescentProbe": probe}
        for name in names
    ]
    told = {
        **{"bCalibrated": pixel_um is not None, "dCalibration": pixel_um or 1.0, "dXPos": 10.0, "dYPos": 20.0},
        **{"dTimeMSec": 0.0, "dTimeAbsolute": 2451545.0},
        "sPicturePlanes": {"uiCount": len(names), "sPlaneNew": {f"a{i}": plane for i, plane in enumerate(planes)}},
    }
    chunks = {
        "ImageAttributesLV!": variant("SLxImageAttributes", attributes),
        "ImageMetadataSeqLV|0!": variant("SLxPictureMetadata", told),
    }
    if loops is not None:
        chunks["ImageMetadataLV!"] = variant("SLxExperiment", loops)
    if times_ms is not None:
        chunks["CustomData|AcqTimesCache!"] = np.array(times_ms).tobytes()
    for number, frame in enumerate(frames):  # eight bytes of time come before the pixels
        chunks[f"ImageDataSeq|{number}!"] = struct.pack("<d", 0.0) + frame.tobytes()
    content = struct.pack("<IIQ32s64s", MAGIC, 32, 64, b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0")
    content = content.ljust(4096, b"\0")
    listed = b""
    for name, data in chunks.items():
        listed += name.encode() + struct.pack("<QQ", len(content), len(data))
        content += struct.pack("<IIQ", MAGIC, 4072, len(data)) + name.encode().ljust(4072, b"\0") + data
        content += bytes(-len(content) % 4096)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    head = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    content += struct.pack("<IIQ", MAGIC, len(head), len(listed) + len(end)) + head + listed + end
    file.write_bytes(content)
    return str(file)


def lif_image(
    name: str,
    pixels: np.ndarray,
    axes: str,
    steps: dict[str, float],
    *,
    dyes: list[str | None],
    block: int,
    further: str = "",
) -> str:
    """Return the description of one image, whose axes are ``c`` and what Leica numbers: x, y, z, t and tiles m."""
    numbers = {"x": 1, "y": 2, "z": 3, "t": 4, "m": 10}
    strides = dict(zip(axes, pixels.strides, strict=True))
    shown = ["Blue", "Green", "Red", "Red"]
    channels = [
        f'<ChannelDescription DataType="0" ChannelTag="{0 if "s" not in axes else 3 - number}" '
        f'Resolution="{pixels.dtype.itemsize * 8}" NameOfMeasuredQuantity="" Min="0" Max="255" Unit="" '
        f'LUTName="{shown[number]}" IsLUTInverted="0" BytesInc="{number * strides.get("c", strides.get("s", 0))}" '
        f'BitInc="0">'
        + (f"<ChannelProperty><Key>DyeName</Key><Value>{dye}</Value></ChannelProperty>" if dye else "")
        + "</ChannelDescription>"
        for number, dye in enumerate(dyes)
    ]
    listed = "".join(
        f'<DimensionDescription DimID="{numbers[axis]}" NumberOfElements="{n}" Origin="0" '
        f'Length="{steps.get(axis, 0) * (n - 1)}" Unit="{"s" if axis == "t" else "m" if axis != "m" else ""}" '
        f'BytesInc="{strides[axis]}" BitInc="0"/>'
        for axis, n in reversed(list(zip(axes, pixels.shape, strict=True)))
        if axis in numbers
    )
    described = f"<Channels>{''.join(channels)}</Channels><Dimensions>{listed}</Dimensions>"
    return (
        f'<Element Name="{name}" UniqueID="{block}"><Data><Image>'
        f"<ImageDescription>{described}</ImageDescription>{further}</Image></Data>"
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{block}"/></Element>'
    )


def write_lif(
    file: Path, images: list[tuple[str, np.ndarray, str, dict[str, float], list[str | None]]], *, further: str = ""
) -> str:
    """Write images ``(name, pixels, axes, steps in m or s, dyes)`` as a LIF of version 2."""
    held = "".join(
        lif_image(name, pixels, axes, steps, dyes=dyes, block=number, further=further)
        for number, (name, pixels, axes, steps, dyes) in enumerate(images)
    )
    text = (
        '<LMSDataContainerHeader Version="2"><Element Name="a.lif" UniqueID="x"><Data><Experiment/></Data>'
        f"<Children>{held}</Children></Element></LMSDataContainerHeader>"
    )
    content = struct.pack("<IIBI", 0x70, 2 * len(text) + 5, 0x2A, len(text)) + text.encode("utf-16-le")
    for number, (_, pixels, *_rest) in enumerate(images):
        name = f"MemBlock_{number}"
        content += struct.pack("<IIBQBI", 0x70, 14 + 2 * len(name), 0x2A, pixels.nbytes, 0x2A, len(name))
        content += name.encode("utf-16-le") + pixels.tobytes()
    file.write_bytes(content)
    return str(file)
