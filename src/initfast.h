/* The contract between the kernels and their callers: what is drawn, where it is written, and which
 * backend computes it. README.md in this folder is the specification of the values. Nothing here
 * knows of Python, NumPy, Keras or fans. */
#ifndef INITFAST_H
#define INITFAST_H

#include <stddef.h>
#include <stdint.h>

enum {
    INITFAST_DIMENSIONS = 8,
    INITFAST_THREADS = 1024, /* that a fill may use at most */
    /* A block is one Philox result: 128 bits, so 4 elements, or 2 of float64.
     * A tile is what a kernel makes at once. */
    INITFAST_TILE_BLOCKS = 96,
    INITFAST_BLOCK_BYTES = 16,
    INITFAST_FREE_PARAMETERS = 10,
};

/* The dtypes, as DO(NAME, name, bytes per element, ...). Their order gives their codes, which the
 * binding reads: this list and the next are the only ones. */
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
 *   NORMAL_WITHIN     Box-Muller kept within [low, high], for bounds beyond the reach of NORMAL
 *   TRUNCATED_NORMAL  within [-2, 2]
 *   TRUNCATED_WIDE    NORMAL where it lies within free[8] and free[9], or else TRUNCATED_FREE of a
 *                     second word
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
    INITFAST_CONSTANT = INITFAST_DISTRIBUTIONS, /* `pattern`, which needs no kernel */
} initfast_distribution;

/* names.c: the same lists at run time, by code. */
typedef struct {
    const char *name;
    uint32_t itemsize;
} initfast_dtype_row;
extern const initfast_dtype_row initfast_dtypes[INITFAST_DTYPES];
extern const char *const initfast_distributions[INITFAST_DISTRIBUTIONS];

/* What is drawn. Every value is fma(standard, scale, shift), kept within [low, high], and
 * rounded to the dtype. */
typedef struct {
    initfast_distribution distribution;
    initfast_dtype dtype;
    uint32_t itemsize;
    uint64_t pattern; /* CONSTANT: the low `itemsize` bytes, little-endian */
    double scale, shift, low, high;
    double free[INITFAST_FREE_PARAMETERS]; /* of TRUNCATED_WIDE and TRUNCATED_FREE */
} initfast_source;

/* Which elements of the logical array, and where each goes. Index (i0, i1, ...) is logical element
 * start + sum(i * step), or, with `starts`, starts[i0] + the sum of the rest; its address is
 * out + sum(i * stride) bytes. */
typedef struct {
    int dimensions;
    uint64_t shape[INITFAST_DIMENSIONS];
    int64_t step[INITFAST_DIMENSIONS];
    int64_t stride[INITFAST_DIMENSIONS];
    uint64_t start;
    const uint64_t *starts;
    void *out;
} initfast_part;

/* Makes `tiles` tiles: of blocks first, first + 1, ...; or, if `blocks` is given, of
 * first + blocks[0], first + blocks[1], ... */
typedef void initfast_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                            uint64_t first, const uint64_t *blocks, size_t tiles, void *out);

/* moments.h: adds values, at least one, to the lanes of a unit. The count is a multiple of the
 * lanes, except for the last values of the unit. */
struct initfast_lanes;
typedef void initfast_measure(const void *values, size_t count, double pivot,
                              struct initfast_lanes *lanes);
extern initfast_measure *const initfast_measure_portable[], *const initfast_measure_neon[];
extern initfast_measure *const initfast_measure_avx2[], *const initfast_measure_avx512[];

/* A kernel that is NULL here is that of `base`; it is NULL there too if the pair makes no sense. */
typedef struct initfast_backend {
    const char *name;
    const struct initfast_backend *base; /* may be NULL */
    initfast_measure *const *measure;    /* by dtype; that of `base` if it is NULL */
    initfast_tiles *tiles[INITFAST_DISTRIBUTIONS][INITFAST_DTYPES];
} initfast_backend;

/* dispatch.c: compiled backends in ascending order of preference, NULL at the end; whether this CPU
 * runs one; the best that it runs. */
extern const initfast_backend *const initfast_backends[];
int initfast_usable(const initfast_backend *backend);
const initfast_backend *initfast_best(void);

/* fill.c: a backend's kernel; and positions [begin, end) of the part in C order, on this thread.
 * The floating-point environment is left as it was. */
initfast_tiles *initfast_kernel(const initfast_backend *backend, initfast_distribution distribution,
                                initfast_dtype dtype);
void initfast_fill(const initfast_backend *backend, const initfast_source *source, uint64_t seed,
                   uint64_t stream, const initfast_part *part, uint64_t begin, uint64_t end);

/* fill.c: copies the elements at positions [begin, end) of the part to contiguous memory. */
void initfast_gather(const initfast_part *part, uint32_t itemsize, uint64_t begin, uint64_t end,
                     void *out);

/* `square` sums the squared distances from the mean. */
typedef struct { double mean, square, minimum, maximum; } initfast_moments;

/* threads.c: the whole part on up to `threads` threads, this one among them unless its stack is too
 * small. `poll` (may be NULL) is called on this thread now and then: nonzero stops the fill.
 * `moments` (may be NULL) receives the moments of the values, unless the fill was stopped; there
 * must be at least one value, and the source must have a kernel and be of floats.
 * Returns 1 if it was stopped, and INITFAST_NO_MEMORY if nothing was filled for want of memory. */
enum { INITFAST_NO_MEMORY = -1 };
typedef int initfast_poll(void);
int initfast_fill_threaded(const initfast_backend *backend, const initfast_source *source,
                           uint64_t seed, uint64_t stream, const initfast_part *part, int threads,
                           initfast_poll *poll, initfast_moments *moments);

#endif
