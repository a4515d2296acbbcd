"""The decorator of the functions that run once per ray or hit.

Without numba's reference counting: it counts every array at every call by atomic additions, which takes longer than what
most of these functions do, and longer still when two threads share the arrays. Such functions may not allocate arrays; their
work space comes from the caller.
"""

from numba import njit

inner_kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)  # pyright: ignore[reportCallIssue]
"""Place ``@no_type_check`` under it: the tests' type checker would otherwise wrap the function before numba sees it."""
