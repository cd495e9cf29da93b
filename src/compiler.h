/* What differs between compilers, and nothing else. */
#ifndef INITFAST_COMPILER_H
#define INITFAST_COMPILER_H

#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#define UNROLL
#elif defined(__clang__)
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 64")
#endif

/* What built this, for bug reports. */
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#if defined(__clang__)
#define INITFAST_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define INITFAST_COMPILER "gcc " __VERSION__
#else
#define INITFAST_COMPILER "msvc " TEXT(_MSC_FULL_VER)
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define INITFAST_X86_64 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define INITFAST_AARCH64 1
#endif

/* Instructions beyond the baseline, for the functions between the two: TARGET_BEGIN(text) ... TARGET_END. MSVC needs none. */
#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(text) PRAGMA(clang attribute push(__attribute__((target(text))), apply_to = function))
#define TARGET_END PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define TARGET_BEGIN(text) PRAGMA(GCC push_options) PRAGMA(GCC target(text))
#define TARGET_END PRAGMA(GCC pop_options)
#else
#define TARGET_BEGIN(text)
#define TARGET_END
#endif

#endif
