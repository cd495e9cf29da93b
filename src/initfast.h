/* The interface between the kernels and their callers: the source of the values, the part that they
 * are written to, and the backend that computes them. README.md in this folder specifies the
 * values. This code does not depend on Python, NumPy, Keras or fans. */
#ifndef INITFAST_H
#define INITFAST_H

#include <stddef.h>
#include <stdint.h>

enum {
    INITFAST_DIMENSIONS = 8,
    INITFAST_THREADS = 1024, /* the maximum for one fill */
    /* A block is one Philox result: 128 bits, which give 4 elements, or 2 of float64.
     * A tile is the unit of work of a kernel. */
    INITFAST_TILE_BLOCKS = 96,
    INITFAST_BLOCK_BYTES = 16,
    INITFAST_FREE_PARAMETERS = 10,
};

/* The dtypes, as DO(NAME, name, bytes per element, ...). Their order defines their codes. The
 * binding reads this list and the next; there are no others. */
#define INITFAST_FLOATS(DO, ...)                     \
    DO(FLOAT32, float32, 4, __VA_ARGS__)             \
    DO(FLOAT64, float64, 8, __VA_ARGS__)             \
    DO(FLOAT16, float16, 2, __VA_ARGS__)             \
    DO(BFLOAT16, bfloat16, 2, __VA_ARGS__)           \
    DO(FLOAT8_E4M3FN, float8_e4m3fn, 1, __VA_ARGS__) \
    DO(FLOAT8_E5M2, float8_e5m2, 1, __VA_ARGS__)
#define INITFAST_WORDS(DO, ...) DO(UINT32, uint32, 4, __VA_ARGS__)
#define INITFAST_EACH_DTYPE(DO, ...) \
    INITFAST_FLOATS(DO, __VA_ARGS__) INITFAST_WORDS(DO, __VA_ARGS__)

/* The distributions, as DO(NAME, name, the list of dtypes that have a kernel):
 *   BITS              the words themselves
 *   BITS_7            the words after 7 rounds instead of 10, for the published known answers
 *   UNIFORM           k * scale + shift
 *   NORMAL            Box-Muller
 *   NORMAL_WITHIN     Box-Muller kept within [low, high], for bounds that NORMAL cannot reach
 *   TRUNCATED_NORMAL  within [-2, 2]
 *   TRUNCATED_WIDE    NORMAL if it is within [free[8], free[9]], else TRUNCATED_FREE of a second
 *                     word
 *   TRUNCATED_FREE    within any bounds, from `free` */
#define INITFAST_EACH_DISTRIBUTION(DO)                      \
    DO(BITS, bits, INITFAST_WORDS)                          \
    DO(BITS_7, bits_7, INITFAST_WORDS)                      \
    DO(UNIFORM, uniform, INITFAST_FLOATS)                   \
    DO(NORMAL, normal, INITFAST_FLOATS)                     \
    DO(NORMAL_WITHIN, normal_within, INITFAST_FLOATS)       \
    DO(TRUNCATED_NORMAL, truncated_normal, INITFAST_FLOATS) \
    DO(TRUNCATED_WIDE, truncated_wide, INITFAST_FLOATS)     \
    DO(TRUNCATED_FREE, truncated_free, INITFAST_FLOATS)

#define INITFAST_CODE(NAME, ...) INITFAST_##NAME,

typedef enum { INITFAST_EACH_DTYPE(INITFAST_CODE, ) INITFAST_DTYPES } initfast_dtype;

typedef enum {
    INITFAST_EACH_DISTRIBUTION(INITFAST_CODE) INITFAST_DISTRIBUTIONS,
    INITFAST_CONSTANT = INITFAST_DISTRIBUTIONS, /* `pattern`; it has no kernel */
} initfast_distribution;

/* names.c: the same lists at run time, indexed by code. */
typedef struct {
    const char *name;
    uint32_t itemsize;
} initfast_dtype_row;
extern const initfast_dtype_row initfast_dtypes[INITFAST_DTYPES];
extern const char *const initfast_distributions[INITFAST_DISTRIBUTIONS];

/* The source of values. Every value is fma(standard, scale, shift), kept within [low, high], and
 * rounded to the dtype. */
typedef struct {
    initfast_distribution distribution;
    initfast_dtype dtype;
    uint32_t itemsize;
    uint64_t pattern; /* CONSTANT: the low `itemsize` bytes, little-endian */
    double scale, shift, low, high;
    double free[INITFAST_FREE_PARAMETERS]; /* for TRUNCATED_WIDE and TRUNCATED_FREE */
} initfast_source;

/* The elements of the logical array that are filled, and their addresses. Index (i0, i1, ...) is
 * logical element start + sum(i * step); with `starts` it is starts[i0] + the sum over the other
 * dimensions. Its address is out + sum(i * stride) bytes. */
typedef struct {
    int dimensions;
    uint64_t shape[INITFAST_DIMENSIONS];
    int64_t step[INITFAST_DIMENSIONS];
    int64_t stride[INITFAST_DIMENSIONS];
    uint64_t start;
    const uint64_t *starts;
    void *out;
} initfast_part;

/* Writes `tiles` tiles of blocks first, first + 1, ...; or, if `blocks` is not NULL, of blocks
 * first + blocks[0], first + blocks[1], ... */
typedef void initfast_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                            uint64_t first, const uint64_t *blocks, size_t tiles, void *out);

/* moments.h: adds at least one value to the lanes of a unit. The count must be a multiple of the
 * number of lanes, except for the last values of the unit. */
struct initfast_lanes;
typedef void initfast_measure(const void *values, size_t count, double pivot,
                              struct initfast_lanes *lanes);
extern initfast_measure *const initfast_measure_portable[], *const initfast_measure_neon[];
extern initfast_measure *const initfast_measure_avx2[], *const initfast_measure_avx512[];

/* For a kernel that is NULL here, the kernel of `base` is used. It is NULL there too if the
 * distribution does not have the dtype. */
typedef struct initfast_backend {
    const char *name;
    const struct initfast_backend *base; /* may be NULL */
    initfast_measure *const *measure;    /* by dtype; NULL: that of `base` */
    initfast_tiles *tiles[INITFAST_DISTRIBUTIONS][INITFAST_DTYPES];
} initfast_backend;

/* dispatch.c: the compiled backends, the preferred one last, then NULL; whether this CPU supports
 * one; the best that it supports. */
extern const initfast_backend *const initfast_backends[];
int initfast_usable(const initfast_backend *backend);
const initfast_backend *initfast_best(void);

/* fill.c: the kernel of a backend; and a fill of positions [begin, end) of the part in C order, on
 * this thread. The fill restores the floating-point environment. */
initfast_tiles *initfast_kernel(const initfast_backend *backend, initfast_distribution distribution,
                                initfast_dtype dtype);
void initfast_fill(const initfast_backend *backend, const initfast_source *source, uint64_t seed,
                   uint64_t stream, const initfast_part *part, uint64_t begin, uint64_t end);

/* fill.c: copies the elements at positions [begin, end) of the part to contiguous memory. */
void initfast_gather(const initfast_part *part, uint32_t itemsize, uint64_t begin, uint64_t end,
                     void *out);

/* `square` is the sum of the squared distances from the mean. */
typedef struct { double mean, square, minimum, maximum; } initfast_moments;

/* threads.c: fills the whole part on up to `threads` threads, including this one unless its stack
 * is too small. `poll` (may be NULL) is called regularly on this thread; nonzero stops the fill.
 * `moments` (may be NULL) receives the moments of the values, unless the fill was stopped. Then
 * there must be at least one value, and the source must have a kernel and a floating dtype.
 * Returns 0, 1 if it was stopped, or INITFAST_NO_MEMORY if it needs more memory than there is. */
enum { INITFAST_NO_MEMORY = -1 };
typedef int initfast_poll(void);
int initfast_fill_threaded(const initfast_backend *backend, const initfast_source *source,
                           uint64_t seed, uint64_t stream, const initfast_part *part, int threads,
                           initfast_poll *poll, initfast_moments *moments);

#endif
