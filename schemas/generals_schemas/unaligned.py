"""Many bytes at once from anywhere in a byte array, and the zeros at a word's ends, for kernels.

For those of `generals_schemas.jit`. x86 and ARM load and store unaligned words at full speed, but numba offers views of
aligned ones only. Callers answer for the bounds. Little-endian machines only, as all records are.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

_WORD = ir.IntType(64)
_BLOCK = ir.VectorType(ir.IntType(8), 64)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, to: Any = _WORD) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _load64(_typing: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.load(_pointer(context, builder, signature.args[0], *arguments))
        word.align = 1
        return word

    return types.uint64(array, types.intp), generate


def _store64(_typing: Any, array: Any, index: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], place).align = 1
        return context.get_dummy_value()

    return types.none(array, types.intp, types.uint64), generate


def _differing64(_typing: Any, array: Any, first: Any, second: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        blocks = []
        for index in arguments[1:]:
            block = builder.load(_pointer(context, builder, signature.args[0], arguments[0], index, _BLOCK))
            block.align = 1
            blocks.append(block)
        return builder.bitcast(builder.icmp_unsigned("!=", *blocks), _WORD)

    return types.uint64(array, types.intp, types.intp), generate


_populate_array: Any = populate_array
"""Numba has no types."""


def _bytes_at(_typing: Any, address: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.return_type)(context, builder)
        one = context.get_constant(types.intp, 1)
        _populate_array(
            array,
            data=builder.inttoptr(arguments[0], array.data.type),
            shape=[arguments[1]],
            strides=[one],
            itemsize=one,
            meminfo=None,
        )
        return array._getvalue()

    return types.Array(types.uint8, 1, "C")(types.intp, types.intp), generate


def _flagged(store_ones: bool) -> Any:
    """64 floats from an index on: 0 where a word has no bit; elsewhere 1, or what they were."""

    def template(_typing: Any, array: Any, index: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lanes, floats = 16, ir.VectorType(ir.FloatType(), 16)
            zeros, ones = (ir.Constant(floats, [value] * lanes) for value in (0.0, 1.0))
            start = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], floats)
            for part in range(64 // lanes):
                place = builder.gep(start, [ir.Constant(_WORD, part)])
                bits = builder.trunc(builder.lshr(arguments[2], ir.Constant(_WORD, lanes * part)), ir.IntType(lanes))
                there = ones
                if not store_ones:
                    there = builder.load(place)
                    there.align = 4
                chosen = builder.select(builder.bitcast(bits, ir.VectorType(ir.IntType(1), lanes)), there, zeros)
                builder.store(chosen, place).align = 4
            return context.get_dummy_value()

        return types.none(array, types.intp, types.uint64), generate

    return intrinsic(template)


def _address_of(_typing: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, _WORD)

    return types.intp(array), generate


def _trailing_zeros(_typing: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _leading_zeros(_typing: Any, word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


load64 = cast("Callable[[NDArray[np.uint8], int], np.uint64]", intrinsic(_load64))
"""The eight bytes from `index` on."""

store64 = cast("Callable[[NDArray[np.uint8], int, np.uint64], None]", intrinsic(_store64))
"""Write eight bytes from `index` on."""

store_flags = cast("Callable[[NDArray[np.float32], int, np.uint64], None]", _flagged(store_ones=True))
"""Write 64 floats from `index` on: 1 where the word has a bit, else 0."""

keep_flagged = cast("Callable[[NDArray[np.float32], int, np.uint64], None]", _flagged(store_ones=False))
"""Of the 64 floats from `index` on, make those 0 for which the word has no bit."""

differing64 = cast("Callable[[NDArray[np.uint8], int, int], np.uint64]", intrinsic(_differing64))
"""Which of the 64 bytes from one index on differ from the 64 from another on: bit i for byte i."""

address_of = cast("Callable[[NDArray[Any]], int]", intrinsic(_address_of))
"""Where an array's data begins, for `bytes_at`."""

bytes_at = cast("Callable[[int, int], NDArray[np.uint8]]", intrinsic(_bytes_at))
"""So many bytes from an address on, as an array. Whoever calls keeps them alive."""

trailing_zeros = cast("Callable[[np.uint64], int]", intrinsic(_trailing_zeros))
"""How many zero bits stand below the lowest one bit; 64 if there is none."""

leading_zeros = cast("Callable[[np.uint64], int]", intrinsic(_leading_zeros))
"""How many zero bits stand above the highest one bit; 64 if there is none."""
