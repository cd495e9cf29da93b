/* Philox counters in vectors, one per lane of 32 bits, for vectors with a 32-bit multiplication.
 * The words are in the order of their use, so that two words of a block need not be paired first.
 * The other layout is lanes64.h. */
enum { V_BLOCKS = 2 * V_LANES, V_PAIRS = 2 };

/* word[k] holds word k of the block of each counter. */
typedef struct { v_int word[4]; } v_words;
typedef struct { v_int low, high; } v_product;

/* The order of the blocks in lanes. With row 0, v_zip32 and v_zip64 put the words in order. With
 * row 1 (`halved`), for elements of 16 bits, v_zip32 alone does: two elements share a lane. */
static const uint32_t DEALT[2][INITFAST_TILE_BLOCKS] = {
    {0,  2,  4,  6,  1,  3,  5,  7,  8,  10, 12, 14, 9,  11, 13, 15, 16, 18, 20, 22,
     17, 19, 21, 23, 24, 26, 28, 30, 25, 27, 29, 31, 32, 34, 36, 38, 33, 35, 37, 39,
     40, 42, 44, 46, 41, 43, 45, 47, 48, 50, 52, 54, 49, 51, 53, 55, 56, 58, 60, 62,
     57, 59, 61, 63, 64, 66, 68, 70, 65, 67, 69, 71, 72, 74, 76, 78, 73, 75, 77, 79,
     80, 82, 84, 86, 81, 83, 85, 87, 88, 90, 92, 94, 89, 91, 93, 95},
    {0,  1,  4,  5,  2,  3,  6,  7,  8,  9,  12, 13, 10, 11, 14, 15, 16, 17, 20, 21,
     18, 19, 22, 23, 24, 25, 28, 29, 26, 27, 30, 31, 32, 33, 36, 37, 34, 35, 38, 39,
     40, 41, 44, 45, 42, 43, 46, 47, 48, 49, 52, 53, 50, 51, 54, 55, 56, 57, 60, 61,
     58, 59, 62, 63, 64, 65, 68, 69, 66, 67, 70, 71, 72, 73, 76, 77, 74, 75, 78, 79,
     80, 81, 84, 85, 82, 83, 86, 87, 88, 89, 92, 93, 90, 91, 94, 95}};

INLINE v_int lanes_of(uint64_t word) { return v_set32((uint32_t)word); }

INLINE v_product lanes_product(v_int a, uint32_t b) {
    v_int even = v_mul_wide(a, v_set32(b)), odd = v_mul_wide(v_odd32(a), v_set32(b));
    return (v_product){v_mul_low32(a, v_set32(b)), v_odd_from(v_shr64(even, 32), odd)};
}

INLINE v_int lanes_low(v_product p) { return p.low; }
INLINE v_int lanes_high(v_product p) { return p.high; }

/* The low words of blocks first + at, first + at + 1, ...; they must not wrap. */
INLINE v_int consecutive_blocks(uint64_t first, const int at, const int halved) {
    return v_add32(lanes_of(first), v_load(DEALT[halved] + at));
}

/* The low words and the high words of listed blocks. */
INLINE v_two listed_blocks(uint64_t first, const uint64_t *blocks, const int halved) {
    v_int a = halved ? v_load(blocks) : v_load_blocks(blocks);
    v_int b = halved ? v_load(blocks + V_LANES) : v_load_blocks(blocks + V_LANES);
    a = v_add64(v_set64(first), a);
    b = v_add64(v_set64(first), b);
    return (v_two){v_low32(a, b), v_high32(a, b)};
}

/* Words 0 and 1 of a block in one lane of 64 bits, and words 2 and 3. */
INLINE v_two paired_words(v_words w, const int pair) {
    if (pair) {
        return (v_two){v_zip32_high(w.word[0], w.word[1]), v_zip32_high(w.word[2], w.word[3])};
    }
    return (v_two){v_zip32_low(w.word[0], w.word[1]), v_zip32_low(w.word[2], w.word[3])};
}

/* Normals in the lanes of their words. */
INLINE v_words normals_in_place(v_words w, v_f32 scale, v_f32 shift) {
    v_two_f32 a = normal_f32(w.word[0], w.word[1], scale, shift);
    v_two_f32 b = normal_f32(w.word[2], w.word[3], scale, shift);
    return (v_words){{vf_as_int(a.first), vf_as_int(a.second), //
                      vf_as_int(b.first), vf_as_int(b.second)}};
}

INLINE void ordered_normals(v_two_f32 made[], v_words w, v_f32 scale, v_f32 shift) {
    v_words n = normals_in_place(w, scale, shift);
    UNROLL
    for (int k = 0; k < V_PAIRS; k++) {
        v_two pairs = paired_words(n, k), o = in_order(pairs.first, pairs.second);
        made[k] = (v_two_f32){v_as_f32(o.first), v_as_f32(o.second)};
    }
}
