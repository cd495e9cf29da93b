/* The contract between the kernels and whoever calls them: what is drawn, where it goes, and who computes it.
 * README.md in this folder is the specification of the values. Nothing here knows of Python, NumPy, Keras or fans. */
#ifndef INITFAST_H
#define INITFAST_H

#include <stddef.h>
#include <stdint.h>

enum {
    INITFAST_DIMENSIONS = 8,
    /* A block is one Philox result: 128 bits, so 4 elements, or 2 of float64. A tile is what a kernel makes at once. */
    INITFAST_TILE_BLOCKS = 96,
    INITFAST_BLOCK_BYTES = 16,
    INITFAST_FREE_PARAMETERS = 8,
};

typedef enum {
    INITFAST_BITS,             /* the words themselves */
    INITFAST_BITS_7,           /* after 7 rounds instead of 10, for the published known answers */
    INITFAST_UNIFORM,          /* k * scale + shift */
    INITFAST_NORMAL,           /* Box-Muller */
    INITFAST_NORMAL_WITHIN,    /* Box-Muller kept within [low, high], for bounds beyond the reach of NORMAL */
    INITFAST_TRUNCATED_NORMAL, /* within [-2, 2] */
    INITFAST_TRUNCATED_FREE,   /* within any bounds, from `free` */
    INITFAST_DISTRIBUTIONS,
    INITFAST_CONSTANT = INITFAST_DISTRIBUTIONS, /* `pattern`, which needs no kernel */
} initfast_distribution;

typedef enum {
    INITFAST_FLOAT32,
    INITFAST_FLOAT64,
    INITFAST_FLOAT16,
    INITFAST_BFLOAT16,
    INITFAST_FLOAT8_E4M3FN,
    INITFAST_FLOAT8_E5M2,
    INITFAST_UINT32,
    INITFAST_DTYPES,
} initfast_dtype;

/* What is drawn. Every value is fma(standard, scale, shift), kept within [low, high], rounded to dtype. */
typedef struct {
    initfast_distribution distribution;
    initfast_dtype dtype;
    uint32_t itemsize;
    uint64_t pattern; /* CONSTANT: the low `itemsize` bytes, little-endian */
    double scale, shift, low, high;
    double free[INITFAST_FREE_PARAMETERS]; /* TRUNCATED_FREE: see truncated.h */
} initfast_source;

/* Which elements of the logical array, and where each goes. Index (i0, i1, ...) is logical element start + sum(i * step), or, with `starts`,
 * starts[i0] + sum of the rest; it lies at out + sum(i * stride) bytes. */
typedef struct {
    int dimensions;
    uint64_t shape[INITFAST_DIMENSIONS];
    int64_t step[INITFAST_DIMENSIONS];
    int64_t stride[INITFAST_DIMENSIONS];
    uint64_t start;
    const uint64_t *starts;
    void *out;
} initfast_part;

/* Makes `tiles` tiles: of blocks first, first + 1, ...; or, if `blocks` is given, of first + blocks[0], first + blocks[1], ... */
typedef void initfast_tiles(const initfast_source *source, uint64_t seed, uint64_t stream, uint64_t first, const uint64_t *blocks,
                            size_t tiles, void *out);

typedef struct {
    const char *name;
    initfast_tiles *tiles[INITFAST_DISTRIBUTIONS][INITFAST_DTYPES]; /* NULL where the pair makes no sense */
} initfast_backend;

/* dispatch.c: compiled backends in ascending order of preference, NULL at the end; whether this CPU runs one; the best that it runs. */
extern const initfast_backend *const initfast_backends[];
int initfast_usable(const initfast_backend *backend);
const initfast_backend *initfast_best(void);

/* fill.c: positions [begin, end) of the part in C order, on this thread. Leaves the floating-point environment as it was. */
void initfast_fill(const initfast_backend *backend, const initfast_source *source, uint64_t seed, uint64_t stream,
                   const initfast_part *part, uint64_t begin, uint64_t end);

/* threads.c: the whole part on up to `threads` threads, this one among them. `poll` (may be NULL) is called on this thread now and then:
 * nonzero stops the fill. Returns 1 if it was stopped. */
typedef int initfast_poll(void);
int initfast_fill_threaded(const initfast_backend *backend, const initfast_source *source, uint64_t seed, uint64_t stream,
                           const initfast_part *part, int threads, initfast_poll *poll);

#endif
