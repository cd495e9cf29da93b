# cython: language_level=3, freethreading_compatible=True, embedsignature=True
"""The binding of src/: no arithmetic, no defaults. Addresses and shapes are trusted here: fill.py and distributions.py have checked them."""

from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyObject_GetBuffer, PyBuffer_Release
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t


cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept


cdef extern from "compiler.h":
    const char *INITFAST_COMPILER

cdef extern from "initfast.h" nogil:
    int INITFAST_DIMENSIONS, INITFAST_FREE_PARAMETERS, INITFAST_TILE_BLOCKS
    int INITFAST_DISTRIBUTIONS, INITFAST_DTYPES, INITFAST_CONSTANT
    int INITFAST_BITS, INITFAST_BITS_7, INITFAST_UNIFORM, INITFAST_NORMAL, INITFAST_NORMAL_WITHIN, INITFAST_TRUNCATED_NORMAL, INITFAST_TRUNCATED_FREE
    ctypedef int initfast_distribution
    ctypedef int initfast_dtype
    ctypedef struct initfast_source:
        initfast_distribution distribution
        initfast_dtype dtype
        uint32_t itemsize
        uint64_t pattern
        double scale, shift, low, high
        double free[8]
    ctypedef struct initfast_part:
        int dimensions
        uint64_t shape[8]
        int64_t step[8]
        int64_t stride[8]
        uint64_t start
        const uint64_t *starts
        void *out
    ctypedef void (*initfast_tiles)(const initfast_source *, uint64_t, uint64_t, uint64_t, const uint64_t *, size_t, void *) noexcept
    ctypedef struct initfast_backend:
        const char *name
        initfast_tiles tiles[7][7]
    ctypedef int (*initfast_poll)() noexcept
    const initfast_backend *initfast_backends[]
    int initfast_usable(const initfast_backend *)
    const initfast_backend *initfast_best()
    int initfast_fill_threaded(const initfast_backend *, const initfast_source *, uint64_t, uint64_t, const initfast_part *, int,
                               initfast_poll) noexcept


BITS, BITS_7, UNIFORM, NORMAL = INITFAST_BITS, INITFAST_BITS_7, INITFAST_UNIFORM, INITFAST_NORMAL
NORMAL_WITHIN, TRUNCATED_NORMAL, TRUNCATED_FREE = INITFAST_NORMAL_WITHIN, INITFAST_TRUNCATED_NORMAL, INITFAST_TRUNCATED_FREE
CONSTANT = INITFAST_CONSTANT
COMPILER = INITFAST_COMPILER.decode()

cdef const initfast_backend *backend_in_use = initfast_best()


def backends():
    """(name, whether this CPU runs it) of each compiled backend, in ascending order of preference."""
    cdef int i = 0
    found = []
    while initfast_backends[i] != NULL:
        found.append((initfast_backends[i].name.decode(), bool(initfast_usable(initfast_backends[i]))))
        i += 1
    return found


def active():
    """Name of the backend that the next fill runs on."""
    return backend_in_use.name.decode()


def use(int position):
    """Fill with the backend at this position of backends() from now on."""
    global backend_in_use
    backend_in_use = initfast_backends[position]


cdef class Source:
    """What is drawn: a distribution, its numbers and the dtype, as the kernels take them."""
    cdef initfast_source c

    def __cinit__(self, int distribution, int dtype, int itemsize, double scale, double shift, double low, double high, free, uint64_t pattern):
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
        """(scale, shift, low, high) and the free bounds' parameters."""
        return (self.c.scale, self.c.shift, self.c.low, self.c.high), tuple(self.c.free[i] for i in range(INITFAST_FREE_PARAMETERS))


cdef int poll() noexcept with gil:
    return PyErr_CheckSignals()


cdef int pending_error() except -1:
    # PyErr_CheckSignals has set the exception; -1 lets it through.
    return -1


cdef int run(Source source, uint64_t seed, uint64_t stream, const initfast_part *part, int threads) except -1:
    cdef int stopped
    with nogil:
        stopped = initfast_fill_threaded(backend_in_use, &source.c, seed, stream, part, threads, poll)
    return pending_error() if stopped else 0


def fill_flat(Source source not None, uint64_t seed, uint64_t stream, uintptr_t address, uint64_t start, uint64_t count, int threads):
    """Logical elements start, start + 1, ... to `count` contiguous items at the address."""
    cdef initfast_part part
    part.dimensions = 1
    part.shape[0] = count
    part.step[0] = 1
    part.stride[0] = source.c.itemsize
    part.start = start
    part.starts = NULL
    part.out = <void *>address
    run(source, seed, stream, &part, threads)


def fill(Source source not None, uint64_t seed, uint64_t stream, uintptr_t address, uint64_t start, tuple shape, tuple steps, tuple strides,
         starts, int threads):
    """A part of at most 8 dimensions: steps in logical elements, strides in bytes, starts a contiguous uint64 array or None."""
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
        run(source, seed, stream, &part, threads)
        return
    PyObject_GetBuffer(starts, &view, PyBUF_SIMPLE)
    try:
        part.starts = <const uint64_t *>view.buf
        run(source, seed, stream, &part, threads)
    finally:
        PyBuffer_Release(&view)


def tiles(Source source not None, uint64_t seed, uint64_t stream, uint64_t first, size_t count, uintptr_t address):
    """`count` whole tiles from any block on, straight from the backend: for known answers at counters that no element has."""
    backend_in_use.tiles[<int>source.c.distribution][<int>source.c.dtype](&source.c, seed, stream, first, NULL, count, <void *>address)


TILE_BLOCKS = INITFAST_TILE_BLOCKS
