"""Lanes: sixteen neighbouring pixels that are added, multiplied and compared at once, which runs of cells fill.

Runs are too short for loops that the compiler prepares for vectors: most of their pixels are left to the end of such a
loop, one by one. Here the vectors are written out, in LLVM's own words, which are those of no processor.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model

__all__ = ["LANES", "sum_and_print"]

Array = np.ndarray[Any, Any]

#: Called from compiled code without the first argument that its definition has.
intrinsic: Any = _intrinsic

#: Pixels that are taken at once.
LANES = 16

#: Runs ahead of the one that is summed, whose pixels are fetched from memory meanwhile.
_AHEAD = 64

_LARGEST = np.iinfo(np.int64).max
_SMALLEST = np.iinfo(np.int64).min

_WIDE = ir.VectorType(ir.IntType(64), LANES)
_NARROW = ir.VectorType(ir.IntType(16), LANES)


class _Lanes(types.Type):
    """A number of some bits in each lane."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__(name=f"Lanes({LANES} x {bits})")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    """Lanes are kept in registers."""

    def __init__(self, manager: Any, lanes: _Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(ir.IntType(lanes.bits), LANES))  # type: ignore[no-untyped-call]


#: Of each lane: sum, sum of squares, sum of pixels times keys, minimum and maximum.
_SUMS = types.Tuple([_Lanes(64), _Lanes(64), _Lanes(64), _Lanes(16), _Lanes(16)])


def _everywhere(builder: Any, value: Any) -> Any:
    """Return the lower 16 bits of a number in every lane."""
    first = builder.insert_element(_NARROW(ir.Undefined), builder.trunc(value, _NARROW.element), ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.VectorType(ir.IntType(32), LANES)(None))


def _load(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    lanes = ir.VectorType(data.type.pointee, LANES)
    place = builder.bitcast(builder.gep(data, [at]), lanes.as_pointer())
    return builder.load(place, align=data.type.pointee.width // 8)


@intrinsic
def _no_sums(typing: Any) -> Any:
    """Return the sums of nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = [_WIDE(None), _WIDE(None), _WIDE(None), _NARROW([0xFFFF] * LANES), _NARROW(None)]
        return context.make_tuple(builder, _SUMS, parts)

    return _SUMS(), generate


@intrinsic
def _no_print(typing: Any, sums: Any) -> Any:
    """Return the same sums but for that of pixels times keys, which is of nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.insert_value(arguments[0], _WIDE(None), 2)

    return _SUMS(sums), generate


@intrinsic
def _add(typing: Any, sums: Any, pixels: Any, keys: Any, at: Any, key: Any, first: Any, number: Any) -> Any:
    """Return the sums with pixels from `at` on and their keys from `key` on, of `number` lanes from `first` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, pixels, keys, at, key, first, number = arguments
        total, squares, part, low, high = (builder.extract_value(sums, k) for k in range(5))
        lane = builder.sub(_NARROW(list(range(LANES))), _everywhere(builder, first))  # those before first wrap around
        inside = builder.icmp_unsigned("<", lane, _everywhere(builder, number))
        found = _load(context, builder, signature.args[1], pixels, at)
        found = builder.zext(found, _NARROW) if found.type != _NARROW else found
        value = builder.select(inside, found, _NARROW(None))
        other = builder.select(inside, found, _NARROW([0xFFFF] * LANES))
        large = builder.zext(value, _WIDE)
        weight = builder.zext(_load(context, builder, signature.args[2], keys, key), _WIDE)
        parts = [
            builder.add(total, large),
            builder.add(squares, builder.mul(large, large)),
            builder.add(part, builder.mul(large, weight)),
            builder.select(builder.icmp_unsigned("<", other, low), other, low),
            builder.select(builder.icmp_unsigned(">", value, high), value, high),
        ]
        return context.make_tuple(builder, _SUMS, parts)

    places = (types.uint64,) * 4
    return _SUMS(sums, pixels, keys, *places), generate


def _over_lanes(place: int, operation: str) -> Any:
    """Return a function of sums that makes one number of all lanes of one of them."""

    @intrinsic
    def reduce(typing: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lanes = builder.extract_value(arguments[0], place)
            name = f"llvm.vector.reduce.{operation}.v{LANES}i{lanes.type.element.width}"
            kind = ir.FunctionType(lanes.type.element, [lanes.type])
            number = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [lanes])
            return number if number.type.width == 64 else builder.zext(number, ir.IntType(64))

        return types.uint64(sums), generate

    return reduce


_total, _squares, _part = (_over_lanes(place, "add") for place in range(3))
_low, _high = _over_lanes(3, "umin"), _over_lanes(4, "umax")


@intrinsic
def _fetch(typing: Any, pixels: Any, at: Any) -> Any:
    """Begin to fetch pixels from memory, without waiting for them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        number = ir.IntType(32)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(fetch, [place, number(0), number(3), number(1)])  # to read, to keep near, data
        return context.get_dummy_value()

    return types.void(pixels, types.uint64), generate


@nb.njit(nogil=True, cache=True)
def sum_and_print(
    regions: int, pixels: Array, keys: tuple[Array, Array], region: Array, row: Array, start: Array, stop: Array
) -> tuple[Array, Array, Array, Any]:
    """Return what `sum_integers` and `fingerprint` do, of unsigned integers of up to 16 bits, in one loop.

    There must be at least `LANES` pixels. Runs may come in any order; fast is one region after another: then lanes are
    added up once per region, and once per run for the print, in which every row has a key of its own.
    """
    sums = np.zeros((regions, 2), np.int64)
    low = np.full(regions, _LARGEST, np.int64)
    high = np.full(regions, _SMALLEST, np.int64)
    flat = pixels.ravel()
    width = pixels.shape[1]
    row_keys, column_keys = keys
    padded = np.zeros(width + 2 * LANES, np.uint32)
    padded[LANES : LANES + width] = column_keys
    last = flat.size - LANES
    printed = np.uint64(0)
    lanes = _no_sums()
    for k in range(region.size):
        r = region[k]
        x, end = row[k] * width + start[k], row[k] * width + stop[k]
        key = start[k] + LANES - x
        if k + _AHEAD < region.size:
            _fetch(flat, np.uint64(row[k + _AHEAD] * width + start[k + _AHEAD]))
        while x < end:
            at = min(x, last)  # the last pixels are taken with some before them, which are left out
            number = np.uint64(min(end - x, at + LANES - x))
            lanes = _add(lanes, flat, padded, np.uint64(at), np.uint64(key + at), np.uint64(x - at), number)
            x = at + LANES
        printed += _part(lanes) * row_keys[row[k]]
        lanes = _no_print(lanes)
        if k + 1 == region.size or region[k + 1] != r:
            sums[r, 0] += np.int64(_total(lanes))
            sums[r, 1] += np.int64(_squares(lanes))
            low[r] = min(low[r], np.int64(_low(lanes)))
            high[r] = max(high[r], np.int64(_high(lanes)))
            lanes = _no_sums()
    return sums, low, high, printed
