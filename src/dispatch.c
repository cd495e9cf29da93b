/* The list of compiled backends, and the choice among them. No other file queries the CPU. */
#include "initfast.h"
#include "compiler.h"

extern const initfast_backend initfast_backend_portable;

#if defined(INITFAST_X86_64)
#include <cpuid.h>

extern const initfast_backend initfast_backend_avx2, initfast_backend_avx512;
extern const initfast_backend initfast_backend_avx512_bf16;
const initfast_backend *const initfast_backends[] = {
    &initfast_backend_portable,
    &initfast_backend_avx2,
    &initfast_backend_avx512,
    &initfast_backend_avx512_bf16,
    NULL,
};

static void cpuid(unsigned leaf, unsigned subleaf, unsigned r[4]) {
    if (!__get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]))
        r[0] = r[1] = r[2] = r[3] = 0;
}
static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The CPU must have the instructions, and the operating system must save the registers (XCR0). The
 * bits are described in Intel's manual, volume 2, CPUID. */
int initfast_usable(const initfast_backend *backend) {
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, F16C = 1 << 29, AVX2 = 1 << 5, AVX512_BF16 = 1 << 5 };
    enum { YMM_STATE = 0x06, ZMM_STATE = 0xe6 };
    const unsigned avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const unsigned base = FMA | OSXSAVE | F16C;
    unsigned leaf_1[4], leaf_7[4], leaf_7_1[4];
    if (backend == &initfast_backend_portable) return 1;
    cpuid(1, 0, leaf_1);
    cpuid(7, 0, leaf_7);
    if ((leaf_1[2] & base) != base || !(leaf_7[1] & AVX2)) return 0;
    uint64_t state = enabled_state();
    if (backend == &initfast_backend_avx2) return (state & YMM_STATE) == YMM_STATE;
    if ((leaf_7[1] & avx512_f_dq_bw_vl) != avx512_f_dq_bw_vl || (state & ZMM_STATE) != ZMM_STATE)
        return 0;
    if (backend == &initfast_backend_avx512) return 1;
    if (leaf_7[0] < 1) return 0; /* the highest subleaf of 7 */
    cpuid(7, 1, leaf_7_1);
    return (leaf_7_1[0] & AVX512_BF16) != 0;
}

#elif defined(INITFAST_AARCH64)
extern const initfast_backend initfast_backend_neon;
const initfast_backend *const initfast_backends[] = {&initfast_backend_portable,
                                                     &initfast_backend_neon, NULL};
/* NEON is part of AArch64. */
int initfast_usable(const initfast_backend *backend) { return backend != NULL; }

#else
const initfast_backend *const initfast_backends[] = {&initfast_backend_portable, NULL};
int initfast_usable(const initfast_backend *backend) { return backend != NULL; }
#endif

const initfast_backend *initfast_best(void) {
    const initfast_backend *best = NULL;
    for (int i = 0; initfast_backends[i]; i++) {
        if (initfast_usable(initfast_backends[i])) best = initfast_backends[i];
    }
    return best;
}
