/* Truncated normals by the inverse in free_quantiles: for all elements (free bounds), or only for
 * elements whose normal is outside (wide bounds, which keep at least half of the mass). */
enum { INVERSE_BLOCKS = FREE_AT_ONCE / 4 };

/* One word per element of tiles of blocks: 32 bits, or for float64 the upper 52 of 64. */
SHARED element_words(uint64_t seed, uint64_t stream, uint64_t first, const uint64_t *blocks,
                     size_t tiles, const int is_f64, uint64_t *words) {
    const initfast_source none = {0};
    const size_t count = tiles * INITFAST_TILE_BLOCKS * 4;
    uint32_t drawn[FREE_AT_ONCE];
    make_tiles(&none, seed, stream, first, blocks, tiles, drawn, INITFAST_BITS, INITFAST_UINT32,
               GROUPS);
    if (is_f64) {
        for (size_t i = 0; i < count / 2; i++) {
            words[i] = (drawn[2 * i] | (uint64_t)drawn[2 * i + 1] << 32) >> 12;
        }
    } else {
        for (size_t i = 0; i < count; i++) words[i] = drawn[i];
    }
}

SHARED inverse_f64(const initfast_source *source, const uint64_t *words, size_t count, double unit,
                   double *y) {
    free_quantiles(source, words, count, unit, y);
    const v_f64 scale = vd_set(source->scale), shift = vd_set(source->shift);
    for (size_t i = 0; i < count; i += V_LANES) {
        vd_store(y + i, vd_fma(v_as_f64(v_load(y + i)), scale, shift));
    }
}

SHARED inverse_f32(const initfast_source *source, const uint64_t *words, size_t count, float *y) {
    double wide[FREE_AT_ONCE];
    inverse_f64(source, words, count, 0x1p-32, wide);
    for (size_t i = 0; i < count; i++) y[i] = (float)wide[i];
}

/* Writes the finished elements of `count` words, a multiple of FREE_STEP. */
INLINE void finish_inverse(const initfast_source *source, const parameters *p,
                           const uint64_t *words, size_t count, void *out,
                           const initfast_dtype dtype) {
    if (dtype == INITFAST_FLOAT64) {
        double *y = out;
        inverse_f64(source, words, count, 0x1p-52, y);
        for (size_t i = 0; i < count; i += V_LANES) {
            vd_store(y + i, keep_f64(v_as_f64(v_load(y + i)), p, INITFAST_TRUNCATED_FREE));
        }
        return;
    }
    float y[FREE_AT_ONCE];
    inverse_f32(source, words, count, y);
    for (size_t i = 0; i < count; i += FREE_STEP) {
        v_two_f32 made = {v_as_f32(v_load(y + i)), v_as_f32(v_load(y + i + 2 * V_LANES))};
        made.first = keep_f32(made.first, p, INITFAST_TRUNCATED_FREE, dtype);
        made.second = keep_f32(made.second, p, INITFAST_TRUNCATED_FREE, dtype);
        store_f32((char *)out + i * bytes_a_block(dtype) / 4, made, 1, dtype);
    }
}

INLINE void free_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                       uint64_t first, const uint64_t *blocks, size_t tiles, void *out,
                       const initfast_dtype dtype) {
    enum { BLOCKS = INITFAST_TILE_BLOCKS };
    const parameters p = parameters_of(source, INITFAST_TRUNCATED_FREE);
    uint64_t words[4 * BLOCKS];
    for (char *at = out; tiles; tiles--, at += BLOCKS * bytes_a_block(dtype)) {
        element_words(seed, stream, first, blocks, 1, dtype == INITFAST_FLOAT64, words);
        finish_inverse(source, &p, words, BLOCKS * elements_a_block(dtype), at, dtype);
        if (blocks) blocks += BLOCKS;
        else first += BLOCKS;
    }
}

/* A list of elements outside the bounds, which grows until it fills whole vectors: the numbers of
 * their blocks (for the second words), the addresses of these blocks' elements, and the positions
 * of the elements outside among all elements of these blocks. */
typedef struct {
    size_t blocks, count;
    uint64_t block[INVERSE_BLOCKS + 1];
    char *to[INVERSE_BLOCKS + 1];
    uint16_t element[FREE_AT_ONCE + 4];
} outside_elements;

/* For each value of four bits: the positions of the set bits, 16 bits each, and their number. */
#define PLACES(a, b, c, d) ((uint64_t)(d) << 48 | (uint64_t)(c) << 32 | (uint64_t)(b) << 16 | (a))
static const struct {
    uint64_t places;
    uint64_t count;
} BITS_OF_FOUR[16] = {
    {PLACES(0, 0, 0, 0), 0}, {PLACES(0, 0, 0, 0), 1}, {PLACES(1, 0, 0, 0), 1},
    {PLACES(0, 1, 0, 0), 2}, {PLACES(2, 0, 0, 0), 1}, {PLACES(0, 2, 0, 0), 2},
    {PLACES(1, 2, 0, 0), 2}, {PLACES(0, 1, 2, 0), 3}, {PLACES(3, 0, 0, 0), 1},
    {PLACES(0, 3, 0, 0), 2}, {PLACES(1, 3, 0, 0), 2}, {PLACES(0, 1, 3, 0), 3},
    {PLACES(2, 3, 0, 0), 2}, {PLACES(0, 2, 3, 0), 3}, {PLACES(1, 2, 3, 0), 3},
    {PLACES(0, 1, 2, 3), 4},
};

/* Adds the elements of one tile to the list; `entry` is the result of store_group. There is no
 * branch on single elements, because it could not be predicted; only an entry without any element
 * outside is skipped. */
INLINE void list_outside(outside_elements *list, const uint32_t *entry, uint64_t first,
                         const uint64_t *blocks, char *at, const initfast_dtype dtype) {
    const unsigned per_block = elements_a_block(dtype), block_bits = (1u << per_block) - 1;
    size_t listed = list->blocks, count = list->count;
    for (size_t e = 0; e < INITFAST_TILE_BLOCKS / V_LANES; e++) {
        uint32_t bits = entry[e];
        if (!bits) continue;
        for (size_t block = e * V_LANES; block < (e + 1) * V_LANES; block++, bits >>= per_block) {
            const unsigned own = bits & block_bits;
            const uint64_t places =
                BITS_OF_FOUR[own].places + listed * per_block * PLACES(1, 1, 1, 1);
            for (int k = 0; k < 4; k++) list->element[count + k] = (uint16_t)(places >> 16 * k);
            count += BITS_OF_FOUR[own].count;
            list->block[listed] = first + blocks[block];
            list->to[listed] = at + block * bytes_a_block(dtype);
            listed += own != 0;
        }
    }
    list->blocks = listed;
    list->count = count;
}

/* Replaces the elements in the list. Their second words are in the blocks whose numbers have the
 * top bit set, which no element reaches. */
INLINE void replace_outside(outside_elements *list, const initfast_source *source,
                            const parameters *p, uint64_t seed, uint64_t stream,
                            const initfast_dtype dtype) {
    uint64_t drawn[FREE_AT_ONCE], words[FREE_AT_ONCE];
    _Alignas(64) char made[FREE_AT_ONCE * 8];
    const size_t per_block = elements_a_block(dtype);
    const size_t itemsize = bytes_a_block(dtype) / per_block;
    const size_t tiles = (list->blocks + INITFAST_TILE_BLOCKS - 1) / INITFAST_TILE_BLOCKS;
    while (list->blocks < tiles * INITFAST_TILE_BLOCKS) list->block[list->blocks++] = 0;
    element_words(seed, stream, (uint64_t)1 << 63, list->block, tiles, dtype == INITFAST_FLOAT64,
                  drawn);
    const size_t count = list->count, whole = (count + FREE_STEP - 1) / FREE_STEP * FREE_STEP;
    for (size_t i = 0; i < count; i++) words[i] = drawn[list->element[i]];
    for (size_t i = count; i < whole; i++) words[i] = 0;
    finish_inverse(source, p, words, whole, made, dtype);
    for (size_t i = 0; i < count; i++) {
        const size_t block = list->element[i] / per_block, place = list->element[i] % per_block;
        memcpy(list->to[block] + place * itemsize, made + i * itemsize, itemsize);
    }
    list->blocks = list->count = 0;
}

INLINE void wide_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                       uint64_t first, const uint64_t *blocks, size_t tiles, void *out,
                       const initfast_dtype dtype) {
    const initfast_distribution distribution = INITFAST_TRUNCATED_WIDE;
    const philox_keys keys = philox_schedule(seed);
    const parameters p = parameters_of(source, distribution);
    uint32_t outside[INITFAST_TILE_BLOCKS / V_LANES];
    outside_elements list;
    list.blocks = list.count = 0;
    for (char *at = out;; at += INITFAST_TILE_BLOCKS * bytes_a_block(dtype)) {
        if (!tiles || list.blocks > INVERSE_BLOCKS - INITFAST_TILE_BLOCKS) {
            if (list.count) replace_outside(&list, source, &p, seed, stream, dtype);
            if (!tiles) return;
        }
        make_steps(at, INITFAST_TILE_BLOCKS / (V_BLOCKS * GROUPS), first, blocks ? blocks : NUMBERS,
                   stream, &keys, &p, outside, distribution, dtype, GROUPS);
        list_outside(&list, outside, first, blocks ? blocks : NUMBERS, at, dtype);
        if (blocks) blocks += INITFAST_TILE_BLOCKS;
        else first += INITFAST_TILE_BLOCKS;
        tiles--;
    }
}
