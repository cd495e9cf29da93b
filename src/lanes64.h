/* Philox counters in vectors, one per lane of 64 bits. A word is the low half of its lane; the high
 * half has no meaning. The other layout is lanes32.h. */
enum { V_BLOCKS = V_LANES, V_PAIRS = 1 };

/* word[k] holds word k of the block of each counter. */
typedef struct { v_int word[4]; } v_words;
typedef struct { v_int whole; } v_product;

INLINE v_int lanes_of(uint64_t word) { return v_set64(word); }

INLINE v_product lanes_product(v_int a, uint32_t b) {
    return (v_product){v_mul_wide(a, v_set64(b))};
}
INLINE v_int lanes_low(v_product p) { return p.whole; }
INLINE v_int lanes_high(v_product p) { return v_shr64(p.whole, 32); }

/* The low words of blocks first + at, first + at + 1, ...; they must not wrap. */
INLINE v_int consecutive_blocks(uint64_t first, const int at, const int halved) {
    (void)halved;
    return v_add64(v_set64(first), v_load_blocks(NUMBERS + at));
}

/* The low words and the high words of listed blocks. */
INLINE v_two listed_blocks(uint64_t first, const uint64_t *blocks, const int halved) {
    (void)halved;
    v_int block = v_add64(v_set64(first), v_load_blocks(blocks));
    return (v_two){block, v_shr64(block, 32)};
}

/* Words 0 and 1 of a block in one lane of 64 bits, and words 2 and 3. */
INLINE v_two paired_words(v_words w, const int pair) {
    (void)pair;
    return (v_two){v_pair(w.word[0], w.word[1]), v_pair(w.word[2], w.word[3])};
}

/* Normals in the order of their elements. */
INLINE void ordered_normals(v_two_f32 made[], v_words w, v_f32 scale, v_f32 shift) {
    v_two_f32 n =
        normal_f32(v_pair(w.word[0], w.word[2]), v_pair(w.word[1], w.word[3]), scale, shift);
    v_int cosines = vf_as_int(n.first), sines = vf_as_int(n.second);
    made[0] =
        (v_two_f32){v_as_f32(v_zip32_low(cosines, sines)), v_as_f32(v_zip32_high(cosines, sines))};
}
