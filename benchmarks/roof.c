/* The limits of this machine's memory and clock: stores past the caches, and a chain of additions
 * that takes one cycle per step. */
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
/* One, two or four stores fill a cache line, so that no line is read first. `bytes` and `to` are
 * multiples of 64. */
__attribute__((target("avx512f"))) static void stores_64(char *to, size_t bytes) {
    const __m512i value = _mm512_set1_epi32(0x3f000000);
    for (size_t at = 0; at < bytes; at += 64) _mm512_stream_si512((void *)(to + at), value);
}
__attribute__((target("avx"))) static void stores_32(char *to, size_t bytes) {
    const __m256i value = _mm256_set1_epi32(0x3f000000);
    for (size_t at = 0; at < bytes; at += 32) _mm256_stream_si256((void *)(to + at), value);
}
static void stores_16(char *to, size_t bytes) {
    const __m128i value = _mm_set1_epi32(0x3f000000);
    for (size_t at = 0; at < bytes; at += 16) _mm_stream_si128((void *)(to + at), value);
}
void nontemporal_stores(char *to, size_t bytes) {
    if (__builtin_cpu_supports("avx512f")) stores_64(to, bytes);
    else if (__builtin_cpu_supports("avx")) stores_32(to, bytes);
    else stores_16(to, bytes);
    _mm_sfence();
}
#elif defined(__aarch64__)
void nontemporal_stores(char *to, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 32)
        __asm__ volatile("stnp %q0, %q0, [%1]" ::"w"(0.5), "r"(to + at) : "memory");
}
#endif

/* 64 additions, each of which waits for the previous one: 64 cycles on every current CPU. */
uint64_t dependent_additions(uint64_t times) {
    uint64_t x = times;
#define STEP __asm__ volatile("" : "+r"(x)); x += times;
#define STEPS_8 STEP STEP STEP STEP STEP STEP STEP STEP
    for (uint64_t i = 0; i < times; i++) {
        STEPS_8 STEPS_8 STEPS_8 STEPS_8 STEPS_8 STEPS_8 STEPS_8 STEPS_8
    }
    return x;
}
