# cython: language_level=3, freethreading_compatible=True, embedsignature=True
"""The Python binding of the C code in src/.

Addresses and shapes are not checked here, because the callers in Python have checked them.
"""

from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyObject_GetBuffer, PyBuffer_Release
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t


cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept


cdef extern from "compiler.h":
    const char *INITFAST_COMPILER

cdef extern from "initfast.h" nogil:
    int INITFAST_DIMENSIONS, INITFAST_THREADS, INITFAST_TILE_BLOCKS, INITFAST_FREE_PARAMETERS
    int INITFAST_DISTRIBUTIONS, INITFAST_DTYPES, INITFAST_CONSTANT, INITFAST_NO_MEMORY
    ctypedef int initfast_distribution
    ctypedef int initfast_dtype
    ctypedef struct initfast_dtype_row:
        const char *name
        uint32_t itemsize
    const initfast_dtype_row initfast_dtypes[]
    const char *initfast_distributions[]
    # In these structs, a pointer to numbers is an array in C, whose length only C needs to know.
    ctypedef struct initfast_source:
        initfast_distribution distribution
        initfast_dtype dtype
        uint32_t itemsize
        uint64_t pattern
        double scale, shift, low, high
        double *free
    ctypedef struct initfast_part:
        int dimensions
        uint64_t *shape
        int64_t *step
        int64_t *stride
        uint64_t start
        const uint64_t *starts  # the exception: a pointer in C too
        void *out
    ctypedef struct initfast_backend:
        const char *name
    ctypedef void initfast_tiles(
        const initfast_source *, uint64_t, uint64_t, uint64_t, const uint64_t *, size_t, void *
    ) noexcept
    ctypedef int (*initfast_poll)() noexcept
    const initfast_backend *initfast_backends[]
    int initfast_usable(const initfast_backend *)
    const initfast_backend *initfast_best()
    initfast_tiles *initfast_kernel(
        const initfast_backend *, initfast_distribution, initfast_dtype
    )
    ctypedef struct initfast_moments:
        double mean, square, minimum, maximum
    int initfast_fill_threaded(
        const initfast_backend *, const initfast_source *, uint64_t, uint64_t,
        const initfast_part *, int, initfast_poll, initfast_moments *
    ) noexcept

cdef extern from "environment.h" nogil:
    ctypedef struct environment:
        pass
    environment environment_enter()
    void environment_leave(environment)

cdef extern from "xla_fill.h" nogil:
    void *initfast_xla_fill
    void initfast_xla_use(const initfast_backend *)
    void initfast_xla_limit(int)


cdef tuple read_dtypes():
    cdef int code
    rows = []
    for code in range(INITFAST_DTYPES):
        rows.append((initfast_dtypes[code].name.decode(), initfast_dtypes[code].itemsize))
    return tuple(rows)


cdef tuple read_distributions():
    cdef int code
    return tuple([initfast_distributions[code].decode() for code in range(INITFAST_DISTRIBUTIONS)])


MAX_DIMS = INITFAST_DIMENSIONS
MAX_THREADS = INITFAST_THREADS
TILE_BLOCKS = INITFAST_TILE_BLOCKS
COMPILER = INITFAST_COMPILER.decode()

# Indexed by code: (name, bytes per element) of each dtype, and the name of each distribution.
DTYPES = read_dtypes()
DISTRIBUTIONS = read_distributions()
# BITS, UNIFORM, NORMAL, ...: the code of each distribution.
globals().update({name.upper(): code for code, name in enumerate(DISTRIBUTIONS)})
CONSTANT = INITFAST_CONSTANT

cdef const initfast_backend *backend_in_use = initfast_best()
initfast_xla_use(backend_in_use)


def backends():
    """Return (name, whether this CPU supports it) of each compiled backend, the best one last."""
    cdef int i = 0
    rows = []
    while initfast_backends[i] != NULL:
        usable = bool(initfast_usable(initfast_backends[i]))
        rows.append((initfast_backends[i].name.decode(), usable))
        i += 1
    return rows


def active():
    """Return the name of the backend that the next fill uses."""
    return backend_in_use.name.decode()


def use(int position):
    """Use the backend at this position of backends() for all later fills."""
    global backend_in_use
    backend_in_use = initfast_backends[position]
    initfast_xla_use(backend_in_use)


def xla_handler():
    """Return the handler for XLA programs on the CPU, as a capsule for `jax.ffi`."""
    return PyCapsule_New(<void *>&initfast_xla_fill, NULL, NULL)


def limit_xla_threads(int threads):
    """Limit all fills of XLA programs together to `threads` - 1 additional threads."""
    initfast_xla_limit(threads)


cdef class Source:
    """A distribution with its parameters and dtype, in the form that the kernels use."""
    cdef initfast_source c

    def __cinit__(
        self,
        int distribution,
        int dtype,
        int itemsize,
        double scale,
        double shift,
        double low,
        double high,
        free,
        uint64_t pattern,
    ):
        cdef int i
        self.c.distribution = <initfast_distribution>distribution
        self.c.dtype = <initfast_dtype>dtype
        self.c.itemsize = itemsize
        self.c.scale, self.c.shift, self.c.low, self.c.high = scale, shift, low, high
        self.c.pattern = pattern
        for i in range(len(free)):
            self.c.free[i] = free[i]

    @property
    def distribution(self):
        return self.c.distribution

    @property
    def dtype(self):
        return self.c.dtype

    @property
    def itemsize(self):
        return self.c.itemsize

    @property
    def numbers(self):
        """Return (scale, shift, low, high) and the parameters of free bounds."""
        free = tuple([self.c.free[i] for i in range(INITFAST_FREE_PARAMETERS)])
        return (self.c.scale, self.c.shift, self.c.low, self.c.high), free


def in_environment(function, *arguments, **options):
    """Call the function in the floating-point environment of the stream and return its result."""
    cdef environment saved = environment_enter()
    try:
        return function(*arguments, **options)
    finally:
        environment_leave(saved)


cdef int poll() noexcept with gil:
    return PyErr_CheckSignals()


cdef int pending_error() except -1:
    # PyErr_CheckSignals has set the exception; -1 lets it through.
    return -1


cdef object run(
    Source source,
    uint64_t seed,
    uint64_t stream,
    const initfast_part *part,
    int threads,
    bint measured,
):
    cdef int stopped
    cdef initfast_moments moments
    with nogil:
        stopped = initfast_fill_threaded(
            backend_in_use, &source.c, seed, stream, part, threads, poll,
            &moments if measured else NULL,
        )
    if stopped == INITFAST_NO_MEMORY:
        raise MemoryError("a fill needs memory for the stack of a thread")
    if stopped:
        pending_error()
    if measured:
        return moments.mean, moments.square, moments.minimum, moments.maximum
    return None


def fill_flat(
    Source source not None,
    uint64_t seed,
    uint64_t stream,
    uintptr_t address,
    uint64_t start,
    uint64_t count,
    int threads,
    bint measured=False,
):
    """Write logical elements start, start + 1, ... to `count` contiguous items at the address.

    If `measured`, return their (mean, sum of squared distances from the mean, minimum, maximum).
    Then the source must not be a constant, and `count` must be at least 1.
    """
    cdef initfast_part part
    part.dimensions = 1
    part.shape[0] = count
    part.step[0] = 1
    part.stride[0] = source.c.itemsize
    part.start = start
    part.starts = NULL
    part.out = <void *>address
    return run(source, seed, stream, &part, threads, measured)


def fill(
    Source source not None,
    uint64_t seed,
    uint64_t stream,
    uintptr_t address,
    uint64_t start,
    tuple shape,
    tuple steps,
    tuple strides,
    starts,
    int threads,
    bint measured=False,
):
    """Write a part with up to MAX_DIMS dimensions; `measured` is that of fill_flat.

    Steps are in logical elements and strides in bytes. `starts` is a contiguous uint64 array or
    None.
    """
    cdef initfast_part part
    cdef Py_buffer view
    cdef int d
    part.dimensions = len(shape)
    for d in range(part.dimensions):
        part.shape[d], part.step[d], part.stride[d] = shape[d], steps[d], strides[d]
    part.start = start
    part.starts = NULL
    part.out = <void *>address
    if starts is None:
        return run(source, seed, stream, &part, threads, measured)
    PyObject_GetBuffer(starts, &view, PyBUF_SIMPLE)
    try:
        part.starts = <const uint64_t *>view.buf
        return run(source, seed, stream, &part, threads, measured)
    finally:
        PyBuffer_Release(&view)


def tiles(
    Source source not None,
    uint64_t seed,
    uint64_t stream,
    uint64_t first,
    size_t count,
    uintptr_t address,
):
    """Write `count` whole tiles, beginning with block `first`, by a direct call of the kernel.

    Tests use it for known answers at counters that no element has.
    """
    cdef initfast_tiles *kernel
    kernel = initfast_kernel(backend_in_use, source.c.distribution, source.c.dtype)
    kernel(&source.c, seed, stream, first, NULL, count, <void *>address)
