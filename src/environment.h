/* The floating-point environment of the stream: nearest even, subnormals kept, no traps. The host
 * program may have set a different one. */
#ifndef INITFAST_ENVIRONMENT_H
#define INITFAST_ENVIRONMENT_H

#include "compiler.h"

#if defined(INITFAST_X86_64)
#include <immintrin.h>
typedef unsigned environment;
INLINE environment environment_enter(void) {
    environment saved = _mm_getcsr();
    _mm_setcsr(0x1f80); /* the reset value: all exceptions masked */
    return saved;
}
INLINE void environment_leave(environment saved) { _mm_setcsr(saved); }
#elif defined(INITFAST_AARCH64)
#include <stdint.h>
typedef uint64_t environment;
INLINE environment environment_enter(void) {
    environment saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return saved;
}
INLINE void environment_leave(environment saved) {
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
}
#else
#include <fenv.h>
typedef fenv_t environment;
INLINE environment environment_enter(void) {
    environment saved;
    fegetenv(&saved);
    fesetenv(FE_DFL_ENV);
    return saved;
}
INLINE void environment_leave(environment saved) { fesetenv(&saved); }
#endif

#endif
