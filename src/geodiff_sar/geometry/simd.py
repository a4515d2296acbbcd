"""Eight boxes or eight triangles against one ray at once: vector code for numba.

numba writes scalar code for small loops with tests in them, so these two functions are built from LLVM vectors of
eight float32.
LLVM turns them into the widest instructions of the processor (one AVX, two SSE or two NEON), on any platform.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FAST = ("nsz", "arcp", "contract", "afn", "reassoc")


@intrinsic
def hit_boxes(typingctx, boxes, node, ox, oy, oz, ix, iy, iz, limit, near):
    """Bit mask of the boxes of a node that the ray enters before ``limit``; entry distances into ``near`` (8 float32).

    ``boxes`` (node, 48) float32: eight low x, low y, low z, high x, high y, high z. ``ix, iy, iz`` are 1 over the direction.
    """
    signature = types.int32(boxes, types.intp, *[types.float32] * 7, near)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _pointer(
            context, builder, signature, arguments, 0, builder.mul(arguments[1], arguments[1].type(6 * LANES))
        )
        entry = leave = None
        for axis in range(3):
            origin, inverse = _splat(builder, arguments[2 + axis]), _splat(builder, arguments[5 + axis])
            low, high = _load(builder, row, axis), _load(builder, row, 3 + axis)
            one = builder.fmul(builder.fsub(low, origin), inverse)
            two = builder.fmul(builder.fsub(high, origin), inverse)
            first, last = _less(builder, one, two), _greater(builder, one, two)
            entry = first if entry is None else _greater(builder, entry, first)
            leave = last if leave is None else _less(builder, leave, last)
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        mask = builder.and_(
            builder.and_(builder.fcmp_ordered("<=", entry, leave), builder.fcmp_ordered(">=", leave, zero)),
            builder.fcmp_ordered("<", entry, _splat(builder, arguments[8])),
        )
        _store(builder, entry, _pointer(context, builder, signature, arguments, 9))
        return builder.zext(builder.bitcast(mask, ir.IntType(LANES)), _INT)

    return signature, generate


@intrinsic
def hit_triangles(typingctx, triangles, block, ox, oy, oz, dx, dy, dz, limit, distance):
    """Bit mask of the triangles of a block that the ray meets before ``limit``; distances into ``distance`` (8 float32).

    ``triangles`` (block, 72) float32: eight of each of first corner x, y, z, first edge x, y, z, second edge x, y, z.
    Moeller and Trumbore 1997; a triangle without area is never met.
    """
    signature = types.int32(triangles, types.intp, *[types.float32] * 7, distance)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = _pointer(
            context, builder, signature, arguments, 0, builder.mul(arguments[1], arguments[1].type(9 * LANES))
        )
        corner = [_load(builder, row, k) for k in range(3)]
        one = [_load(builder, row, 3 + k) for k in range(3)]
        two = [_load(builder, row, 6 + k) for k in range(3)]
        origin = [_splat(builder, arguments[2 + k]) for k in range(3)]
        along = [_splat(builder, arguments[5 + k]) for k in range(3)]
        p = _cross(builder, along, two)
        determinant = _dot(builder, one, p)
        inverse = builder.fdiv(ir.Constant(_VECTOR, [1.0] * LANES), determinant)
        offset = [builder.fsub(origin[k], corner[k]) for k in range(3)]
        u = builder.fmul(_dot(builder, offset, p), inverse)
        q = _cross(builder, offset, one)
        v = builder.fmul(_dot(builder, along, q), inverse)
        t = builder.fmul(_dot(builder, two, q), inverse)
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        slack, rim = ir.Constant(_VECTOR, [-1e-6] * LANES), ir.Constant(_VECTOR, [1.000001] * LANES)
        tests = (
            builder.fcmp_ordered("!=", determinant, zero),
            builder.fcmp_ordered(">=", u, slack),
            builder.fcmp_ordered(">=", v, slack),
            builder.fcmp_ordered("<=", builder.fadd(u, v), rim),
            builder.fcmp_ordered(">", t, zero),
            builder.fcmp_ordered("<", t, _splat(builder, arguments[8])),
        )
        mask = tests[0]
        for test in tests[1:]:
            mask = builder.and_(mask, test)
        _store(builder, t, _pointer(context, builder, signature, arguments, 9))
        return builder.zext(builder.bitcast(mask, ir.IntType(LANES)), _INT)

    return signature, generate


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, which: int, offset: Any = None) -> Any:
    """Address of an element of an array argument."""
    array = context.make_array(signature.args[which])(context, builder, arguments[which])
    pointer = builder.bitcast(array.data, ir.PointerType(_FLOAT))
    return pointer if offset is None else builder.gep(pointer, [offset])


def _load(builder: Any, row: Any, group: int) -> Any:
    """Eight neighbouring numbers, the ``group``-th eight of a row."""
    start = builder.gep(row, [_INT(group * LANES)])
    return builder.load(builder.bitcast(start, ir.PointerType(_VECTOR)), align=4)


def _store(builder: Any, vector: Any, pointer: Any) -> None:
    builder.store(vector, builder.bitcast(pointer, ir.PointerType(_VECTOR)), align=4)


def _splat(builder: Any, number: Any) -> Any:
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, _INT(0))
    return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


def _less(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _greater(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _dot(builder: Any, a: list[Any], b: list[Any]) -> Any:
    total = builder.fmul(a[0], b[0], flags=_FAST)
    for k in (1, 2):
        total = builder.fadd(total, builder.fmul(a[k], b[k], flags=_FAST), flags=_FAST)
    return total


def _cross(builder: Any, a: list[Any], b: list[Any]) -> list[Any]:
    return [
        builder.fsub(
            builder.fmul(a[(k + 1) % 3], b[(k + 2) % 3], flags=_FAST),
            builder.fmul(a[(k + 2) % 3], b[(k + 1) % 3], flags=_FAST),
            flags=_FAST,
        )
        for k in range(3)
    ]
