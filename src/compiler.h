/* Features that standard C lacks, for GCC and for Clang. */
#ifndef INITFAST_COMPILER_H
#define INITFAST_COMPILER_H

#define INLINE static inline __attribute__((always_inline, unused))
#define PRAGMA(text) _Pragma(#text)

/* UNROLL: the next loop is fully unrolled.
 * TARGET_BEGIN(text) ... TARGET_END: the functions between them may use these instruction sets.
 * INITFAST_COMPILER: the name and version of the compiler, for bug reports. */
#if defined(__clang__)
#define UNROLL PRAGMA(clang loop unroll(full))
#define TARGET_BEGIN(text) \
    PRAGMA(clang attribute push(__attribute__((target(text))), apply_to = function))
#define TARGET_END PRAGMA(clang attribute pop)
#define INITFAST_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define UNROLL PRAGMA(GCC unroll 64)
#define TARGET_BEGIN(text) PRAGMA(GCC push_options) PRAGMA(GCC target(text))
#define TARGET_END PRAGMA(GCC pop_options)
#define INITFAST_COMPILER "gcc " __VERSION__
#else
#error "initfast is built with GCC or Clang"
#endif

#if defined(__x86_64__)
#define INITFAST_X86_64 1
#elif defined(__aarch64__)
#define INITFAST_AARCH64 1
#endif

#endif
