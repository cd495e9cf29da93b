/* Philox4x32 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; SC 2011).
 * Multipliers and key increments are those of the paper. lanes64.h and lanes32.h define the layout
 * of counters in vectors. */
enum { PHILOX_ROUNDS = 10, PHILOX_MULTIPLIER_0 = 0xD2511F53, PHILOX_MULTIPLIER_1 = 0xCD9E8D57 };
#define PHILOX_WEYL_0 0x9E3779B9u
#define PHILOX_WEYL_1 0xBB67AE85u

typedef struct { uint64_t word[PHILOX_ROUNDS][2]; } philox_keys;

INLINE philox_keys philox_schedule(uint64_t seed) {
    philox_keys keys;
    for (uint32_t r = 0; r < PHILOX_ROUNDS; r++) {
        keys.word[r][0] = (uint32_t)seed + r * PHILOX_WEYL_0;
        keys.word[r][1] = (uint32_t)(seed >> 32) + r * PHILOX_WEYL_1;
    }
    return keys;
}

INLINE v_words philox_counters(v_int block, v_int block_high, uint64_t stream) {
    return (v_words){{block, block_high, lanes_of(stream), lanes_of(stream >> 32)}};
}

INLINE v_words philox_round(v_words c, const uint64_t key[2]) {
    v_product p0 = lanes_product(c.word[0], PHILOX_MULTIPLIER_0);
    v_product p1 = lanes_product(c.word[2], PHILOX_MULTIPLIER_1);
    v_words next = {{v_xor3(lanes_high(p1), c.word[1], lanes_of(key[0])), lanes_low(p1),
                     v_xor3(lanes_high(p0), c.word[3], lanes_of(key[1])), lanes_low(p0)}};
    return next;
}

/* Several groups of lanes at once: a round waits some ten cycles for its own results, during which
 * the CPU works on the other groups. */
INLINE void philox(v_words group[], const int groups, const philox_keys *keys, const int rounds) {
    UNROLL
    for (int r = 0; r < rounds; r++) {
        UNROLL
        for (int g = 0; g < groups; g++) group[g] = philox_round(group[g], keys->word[r]);
    }
}
