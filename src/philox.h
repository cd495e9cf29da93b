/* Philox4x32 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; SC 2011),
 * one counter in each 64-bit lane. Multipliers and key increments are those of the paper. */
enum { PHILOX_ROUNDS = 10, PHILOX_MULTIPLIER_0 = 0xD2511F53, PHILOX_MULTIPLIER_1 = 0xCD9E8D57 };
#define PHILOX_WEYL_0 0x9E3779B9u
#define PHILOX_WEYL_1 0xBB67AE85u

/* Word k of each lane's block is the low half of the lane of word[k]; the high half is what the
 * multiplications left there. */
typedef struct { v_int word[4]; } v_words;

typedef struct { uint64_t word[PHILOX_ROUNDS][2]; } philox_keys;

INLINE philox_keys philox_schedule(uint64_t seed) {
    philox_keys keys;
    for (uint32_t r = 0; r < PHILOX_ROUNDS; r++) {
        keys.word[r][0] = (uint32_t)seed + r * PHILOX_WEYL_0;
        keys.word[r][1] = (uint32_t)(seed >> 32) + r * PHILOX_WEYL_1;
    }
    return keys;
}

INLINE v_words philox_counter(v_int block, v_int block_high, uint64_t stream) {
    v_words counter = {{block, block_high, v_set64(stream), v_set64(stream >> 32)}};
    return counter;
}

INLINE v_words philox_round(v_words c, const uint64_t key[2]) {
    v_int p0 = v_mul_wide(c.word[0], v_set64(PHILOX_MULTIPLIER_0));
    v_int p1 = v_mul_wide(c.word[2], v_set64(PHILOX_MULTIPLIER_1));
    v_words next = {{v_xor3(v_shr64(p1, 32), c.word[1], v_set64(key[0])), p1,
                     v_xor3(v_shr64(p0, 32), c.word[3], v_set64(key[1])), p0}};
    return next;
}

/* Several groups of lanes at once: a round is a chain of some ten cycles, during which only other
 * groups keep the CPU busy. */
INLINE void philox(v_words group[], const int groups, const philox_keys *keys, const int rounds) {
    UNROLL
    for (int r = 0; r < rounds; r++) {
        UNROLL
        for (int g = 0; g < groups; g++) group[g] = philox_round(group[g], keys->word[r]);
    }
}

/* All words in the order of their elements, as two vectors. */
typedef struct { v_int first, second; } v_ordered;

INLINE v_ordered in_order(v_int x, v_int y) {
    v_ordered r = {v_zip64_low(x, y), v_zip64_high(x, y)};
    return r;
}

INLINE v_ordered ordered_words(v_words w) {
    return in_order(v_pair(w.word[0], w.word[1]), v_pair(w.word[2], w.word[3]));
}
