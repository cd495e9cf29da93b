/* Fills a part of a logical array on one thread: splits any start, step, length and stride into
 * whole tiles for the kernels. Only the constant is written without a kernel. */
#include "initfast.h"
#include "environment.h"

#include <string.h>

enum {
    BATCH_BLOCKS = 4 * INITFAST_TILE_BLOCKS,
    /* The kernel writes a contiguous run of at least this many tiles directly to its memory.
     * Shorter runs, and the rest of longer ones, share the tiles of a batch and are copied. */
    DIRECT_TILES = 1,
    /* Short rows of whole blocks that are adjacent in memory (columns, or rows by id, of a new
     * array) are also written directly, one batch at a time. Rows of this many tiles or more would
     * not be faster. */
    SEAMLESS_TILES = 4,
};

/* `count` elements of the batch, to be copied to `to`, to + stride, ... In the batch they are at
 * from, from + step, ... If each element has its own block (own_block), the blocks are consecutive,
 * and the position in the block follows from the element's logical number (first, first + step,
 * ...). */
typedef struct {
    char *to;
    uint64_t first;
    int64_t step, stride;
    size_t from, count;
    int own_block;
} piece;

typedef struct {
    initfast_tiles *tiles;
    const initfast_source *source;
    uint64_t seed, stream;
    size_t itemsize;
    int block_shift; /* the block of an element is its number >> block_shift */
    size_t blocks, pieces;
    /* The address of the next element if all pieces are whole blocks that are adjacent in memory,
     * else NULL. */
    char *seam;
    uint64_t block[BATCH_BLOCKS];
    piece piece[BATCH_BLOCKS];
    _Alignas(64) char made[BATCH_BLOCKS * INITFAST_BLOCK_BYTES];
} batch;

/* A part as runs. Within a run, logical numbers increase by `step` and addresses by `stride`. A run
 * is the last dimension, unless that is the dimension of `starts`: then it is one element. */
typedef struct {
    const initfast_part *part;
    int outer; /* dimensions outside of a run */
    uint64_t length;
    int64_t step, stride;
} runs;

static inline runs runs_of(const initfast_part *part, size_t itemsize) {
    const int outer = part->dimensions - (part->dimensions > (part->starts ? 1 : 0));
    if (outer == part->dimensions) return (runs){part, outer, 1, 1, (int64_t)itemsize};
    return (runs){part, outer, part->shape[outer], part->step[outer], part->stride[outer]};
}

/* Sets the logical number and the address of a position; returns how many positions of its run are
 * left. */
static inline uint64_t locate(const runs *r, uint64_t position, uint64_t *number, char **at) {
    const initfast_part *part = r->part;
    uint64_t offset = position % r->length, rest = position / r->length;
    uint64_t first = part->start + (uint64_t)r->step * offset;
    char *to = (char *)part->out + (int64_t)offset * r->stride;
    for (int d = r->outer - 1; d >= 0; d--) {
        uint64_t i = rest % part->shape[d];
        rest /= part->shape[d];
        first += d == 0 && part->starts ? part->starts[i] : (uint64_t)part->step[d] * i;
        to += (int64_t)i * part->stride[d];
    }
    *number = first;
    *at = to;
    return r->length - offset;
}

static inline void copy_out(const batch *b, const piece *p, size_t itemsize) {
    const uint64_t place = (1u << b->block_shift) - 1;
    const char *made = b->made + p->from * itemsize;
    char *to = p->to;
    for (size_t i = 0; i < p->count; i++, to += p->stride) {
        const uint64_t moved = (uint64_t)p->step * i;
        const uint64_t at =
            p->own_block ? (i << b->block_shift) + ((p->first + moved) & place) : moved;
        memcpy(to, made + (int64_t)(at * itemsize), itemsize);
    }
}

static void deliver(const batch *b, const piece *p) {
    if (!p->own_block && p->step == 1 && p->stride == (int64_t)b->itemsize) {
        memcpy(p->to, b->made + p->from * b->itemsize, p->count * b->itemsize);
        return;
    }
    switch (b->itemsize) { /* a constant size makes each copy one move */
    case 1: copy_out(b, p, 1); return;
    case 2: copy_out(b, p, 2); return;
    case 4: copy_out(b, p, 4); return;
    default: copy_out(b, p, 8); return;
    }
}

static void flush(batch *b) {
    size_t tiles = (b->blocks + INITFAST_TILE_BLOCKS - 1) / INITFAST_TILE_BLOCKS;
    const size_t added = b->blocks;
    while (b->blocks < tiles * INITFAST_TILE_BLOCKS) b->block[b->blocks++] = 0;
    const int in_place = b->pieces && b->seam && added == tiles * INITFAST_TILE_BLOCKS;
    if (tiles) {
        char *out = in_place ? b->piece[0].to : b->made;
        b->tiles(b->source, b->seed, b->stream, 0, b->block, tiles, out);
    }
    for (size_t i = 0; i < b->pieces && !in_place; i++) deliver(b, &b->piece[i]);
    b->blocks = b->pieces = 0;
}

/* Adds as many of `count` elements as the batch has room for, and returns their number. There is
 * room for at least one after a flush. */
static size_t add_piece(batch *b, uint64_t first, int64_t step, size_t count, char *to,
                        int64_t stride) {
    const int shift = b->block_shift;
    const size_t room = BATCH_BLOCKS - b->blocks;
    uint64_t distance = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    piece *p = &b->piece[b->pieces++];
    *p = (piece){
        .to = to,
        .first = first,
        .step = step,
        .stride = stride,
        .from = b->blocks << shift,
        .count = count,
        .own_block = distance == 0 || distance >> shift != 0,
    };
    if (p->own_block) {
        if (p->count > room) p->count = room;
        for (size_t i = 0; i < p->count; i++) {
            b->block[b->blocks++] = (first + (uint64_t)step * i) >> shift;
        }
        b->seam = NULL;
        return p->count;
    }
    /* Neighbours share blocks: add all blocks from that of the first element to that of the
     * last. */
    uint64_t last = first + (uint64_t)step * (count - 1);
    uint64_t low = (step < 0 ? last : first) >> shift, high = (step < 0 ? first : last) >> shift;
    if (high - low >= room) {
        uint64_t reach =
            step < 0 ? first - ((high - room + 1) << shift) : ((low + room) << shift) - 1 - first;
        p->count = (size_t)(reach / distance) + 1;
        last = first + (uint64_t)step * (p->count - 1);
        if (step < 0) low = last >> shift;
        else high = last >> shift;
    }
    p->from += (size_t)(first - (low << shift));
    const size_t added = (size_t)(high - low) + 1;
    uint64_t *block = b->block + b->blocks;
    for (size_t i = 0; i < added; i++) block[i] = low + i;
    b->blocks += added;
    const int follows =
        (b->pieces == 1 || b->seam == to) && step == 1 && stride == (int64_t)b->itemsize;
    b->seam = follows && p->count == added << shift ? to + p->count * b->itemsize : NULL;
    return p->count;
}

static void run(batch *b, uint64_t first, int64_t step, size_t count, char *to, int64_t stride) {
    const int contiguous = step == 1 && stride == (int64_t)b->itemsize;
    const size_t per_tile = (size_t)INITFAST_TILE_BLOCKS << b->block_shift;
    while (count) {
        size_t done;
        size_t off_block = (size_t)(first & ((1u << b->block_shift) - 1));
        const int whole_blocks = !off_block && !(count & ((1u << b->block_shift) - 1));
        const int follows = !b->pieces || b->seam == to;
        const int seamless = whole_blocks && count < SEAMLESS_TILES * per_tile && follows;
        if (contiguous && !off_block && !seamless && count >= DIRECT_TILES * per_tile) {
            size_t tiles = count / per_tile;
            b->tiles(b->source, b->seed, b->stream, first >> b->block_shift, NULL, tiles, to);
            done = tiles * per_tile;
        } else {
            if (b->blocks == BATCH_BLOCKS || b->pieces == BATCH_BLOCKS) flush(b);
            size_t wanted = count;
            if (contiguous && off_block && count >= (DIRECT_TILES + 1) * per_tile) {
                wanted = ((size_t)1 << b->block_shift) - off_block;
            }
            done = add_piece(b, first, step, wanted, to, stride);
        }
        first += (uint64_t)step * done;
        to += (int64_t)done * stride;
        count -= done;
    }
}

static void run_constant(batch *b, size_t count, char *to, int64_t stride) {
    while (count) {
        piece p = {to, 0, 1, stride, 0, sizeof b->made / b->itemsize, 0};
        if (p.count > count) p.count = count;
        deliver(b, &p);
        to += (int64_t)p.count * stride;
        count -= p.count;
    }
}

initfast_tiles *initfast_kernel(const initfast_backend *backend, initfast_distribution distribution,
                                initfast_dtype dtype) {
    while (!backend->tiles[distribution][dtype] && backend->base) backend = backend->base;
    return backend->tiles[distribution][dtype];
}

void initfast_fill(const initfast_backend *backend, const initfast_source *source, uint64_t seed,
                   uint64_t stream, const initfast_part *part, uint64_t begin, uint64_t end) {
    batch b;
    const int constant = source->distribution == INITFAST_CONSTANT;
    b.tiles = constant ? NULL : initfast_kernel(backend, source->distribution, source->dtype);
    b.source = source;
    b.seed = seed;
    b.stream = stream;
    b.itemsize = source->itemsize;
    b.block_shift = source->dtype == INITFAST_FLOAT64 ? 1 : 2;
    b.blocks = b.pieces = 0;
    b.seam = NULL;
    if (constant) {
        for (size_t at = 0; at + b.itemsize <= sizeof b.made; at += b.itemsize) {
            for (size_t k = 0; k < b.itemsize; k++) {
                b.made[at + k] = (char)(source->pattern >> 8 * k);
            }
        }
    }
    const environment saved = environment_enter();
    const runs r = runs_of(part, b.itemsize);
    while (begin < end) {
        uint64_t first;
        char *to;
        uint64_t count = locate(&r, begin, &first, &to);
        if (count > end - begin) count = end - begin;
        if (constant) run_constant(&b, (size_t)count, to, r.stride);
        else run(&b, first, r.step, (size_t)count, to, r.stride);
        begin += count;
    }
    flush(&b);
    environment_leave(saved);
}

static inline void gather(const char *from, size_t count, int64_t stride, size_t itemsize,
                          char *to) {
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * itemsize, from + stride * (int64_t)i, itemsize);
}

void initfast_gather(const initfast_part *part, uint32_t itemsize, uint64_t begin, uint64_t end,
                     void *out) {
    const runs r = runs_of(part, itemsize);
    char *to = out;
    while (begin < end) {
        uint64_t number;
        char *from;
        uint64_t left = locate(&r, begin, &number, &from);
        const size_t count = (size_t)(left < end - begin ? left : end - begin);
        switch (itemsize) { /* a constant size makes each copy one move */
        case 1: gather(from, count, r.stride, 1, to); break;
        case 2: gather(from, count, r.stride, 2, to); break;
        case 4: gather(from, count, r.stride, 4, to); break;
        default: gather(from, count, r.stride, 8, to); break;
        }
        to += count * itemsize;
        begin += count;
    }
}
