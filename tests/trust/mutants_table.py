"""The mutants: small edits, each with the test that must fail because of it."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A mutant: `old` (which must occur once in `file`) becomes `new`, and then the pytest selection
    `killer` must fail.

    `unit` is compiled again: a backend (for all headers), a C file, or '' for a Python file."""

    what: str
    file: str
    old: str
    new: str
    killer: str
    unit: str = "backend"
    also: tuple[str, str, str] | None = None  # a second edit: file, old, new
    needs: str = ""  # the backend whose code it changes; '': all


PHILOX, GOLDEN, CARRY = (
    "core/test_philox.py::test_backend",
    "core/test_golden.py::test_backend",
    "core/test_philox.py::test_carry_between_counter_words",
)
LENGTH, START = (
    "core/test_reference.py::test_every_length",
    "core/test_reference.py::test_every_start_and_misalignment",
)
SHA, TABLES = (
    "core/test_sha256.py::test_all_elements",
    "core/test_sha256.py::test_tables_of_coefficients",
)
EXTREME = "core/test_extreme_words.py::test_bounds_hold_at_both_ends"
HEADER = "core/test_coefficients.py::test_header_and_module_agree"
TIES = "core/test_ties.py::test_ties_go_to_even"
SUBNORMAL = "core/test_subnormals.py::test_values_are_those_of_the_reference"
THREADS = "core/test_reference.py::test_every_thread_count"
ENVIRONMENT = "core/test_environment.py::test_values_and_registers_stay"

WORDS = [
    Mutant(
        "a round of Philox dropped",
        "src/tiles.h",
        "7 : PHILOX_ROUNDS;",
        "7 : PHILOX_ROUNDS - 1;",
        PHILOX,
    ),
    Mutant("8 rounds for 7", "src/tiles.h", "? 7 : PHILOX", "? 8 : PHILOX", PHILOX),
    Mutant("first multiplier off by one bit", "src/philox.h", "0xD2511F53", "0xD2511F51", PHILOX),
    Mutant(
        "second multiplier off by one bit",
        "src/philox.h",
        "0xCD9E8D57",
        "0xCD9E8D53",
        "core/test_philox.py::test_10000th_value_of_cpp26",
    ),
    Mutant("key increment off by one", "src/philox.h", "0x9E3779B9u", "0x9E3779BAu", PHILOX),
    Mutant(
        "key increments swapped",
        "src/philox.h",
        "seed + r * PHILOX_WEYL_0",
        "seed + r * PHILOX_WEYL_1",
        PHILOX,
    ),
    Mutant(
        "key words swapped",
        "src/philox.h",
        "(uint32_t)seed + r",
        "(uint32_t)(seed >> 32) + r",
        PHILOX,
    ),
    Mutant(
        "a round's outputs swapped",
        "src/philox.h",
        "lanes_of(key[1])), lanes_low(p0)}}",
        "lanes_of(key[1])), lanes_low(p1)}}",
        PHILOX,
    ),
    Mutant(
        "high word of the stream dropped",
        "src/philox.h",
        "lanes_of(stream >> 32)}}",
        "lanes_of(0)}}",
        PHILOX,
    ),
    Mutant(
        "words of the stream swapped",
        "src/philox.h",
        "lanes_of(stream), lanes_of(stream >> 32)",
        "lanes_of(stream >> 32), lanes_of(stream)",
        GOLDEN,
    ),
    Mutant(
        "carry into the high counter word dropped in a run",
        "src/tiles.h",
        "(((uint64_t)1 << 32) - (uint32_t)first) / blocks_a_step",
        "steps",
        CARRY,
    ),
    Mutant(
        "carry dropped where blocks are listed",
        "src/tiles.h",
        "philox_counters(block.first, block.second, stream)",
        "philox_counters(block.first, high, stream)",
        "core/test_reference.py::test_element_numbers_beyond_32_bits",
    ),
    Mutant(
        "words of a block out of order",
        "src/elements.h",
        "v_zip64_low(x, y), v_zip64",
        "v_zip64_low(y, x), v_zip64",
        GOLDEN,
    ),
    Mutant(
        "halves of a 64-bit word swapped",
        "src/lanes64.h",
        "(v_two){v_pair(w.word[0], w.word[1])",
        "(v_two){v_pair(w.word[1], w.word[0])",
        GOLDEN,
        also=(
            "src/lanes32.h",
            "(v_two){v_zip32_low(w.word[0], w.word[1])",
            "(v_two){v_zip32_low(w.word[1], w.word[0])",
        ),
    ),
]

VALUES = [
    Mutant("lowest bit of a uniform stuck at 1", "src/uniform.h", "vf_from_int(v_shr32(words, 8))", "vf_from_int(v_or(v_shr32(words, 8), v_set32(1)))", GOLDEN),
    Mutant("lowest bit of a uniform stuck at 0, float64", "src/uniform.h", "v_shr64(words, 11)", "v_and(v_shr64(words, 11), v_set64(~1ull))", GOLDEN),
    Mutant("23 bits for 24 in a uniform", "src/uniform.h", "v_shr32(words, 8)", "v_shl32(v_shr32(words, 9), 1)", GOLDEN),
    Mutant("lowest bit of a truncated normal stuck at 1", "src/truncated.h", "vf_from_int(v_shr32(words, 8))", "vf_from_int(v_or(v_shr32(words, 8), v_set32(1)))", GOLDEN),
    Mutant("cosine and sine swapped", "src/normal.h", "vf_by_bit(angle_words, 30, sine, cosine), shift),\n                      vf_fma(r, vf_by_bit(angle_words, 30, cosine, sine)", "vf_by_bit(angle_words, 30, cosine, sine), shift), vf_fma(r, vf_by_bit(angle_words, 30, sine, cosine)", GOLDEN),
    Mutant("both elements of a pair the same", "src/normal.h", "vf_by_bit(angle_words, 30, cosine, sine), shift)}", "vf_by_bit(angle_words, 30, sine, cosine), shift)}", "core/test_statistics.py::test_box_muller_partners_are_independent"),
    Mutant("no half turn: every first element positive", "src/normal.h", "r = v_as_f32(v_xor_masked(vf_as_int(r), angle_words, v_set32(0x80000000)));", "", "core/test_statistics.py::test_moments_and_distance"),
    Mutant("mirror by the wrong bit, float64", "src/normal.h", "vd_by_bit(angle_words, 62, sine, cosine)", "vd_by_bit(angle_words, 61, sine, cosine)", GOLDEN),
    Mutant("angle not moved by half a step", "src/normal.h", "vf_set(0x1p-32f), vf_set(0x1p-31f));", "vf_set(0x1p-32f), vf_set(0.0f));", LENGTH),
    Mutant("half a step of the radius dropped", "src/normal.h", "vf_set(0x1p-31f), vf_set(0x1p-32f));", "vf_set(0x1p-31f), vf_set(0.0f));", GOLDEN),
    Mutant("radius without its exponent near 0", "src/normal.h", "vf_set(0.0f), vf_exponent(y));", "vf_set(0.0f), vf_set(0.0f));", "core/test_statistics.py::test_tails"),
    Mutant("two roundings for fma in a normal", "src/normal.h", "{vf_fma(r, vf_by_bit(angle_words, 30, sine, cosine), shift),", "{vf_add(vf_mul(r, vf_by_bit(angle_words, 30, sine, cosine)), shift),", GOLDEN),
    Mutant("two roundings for fma in polynomials, float64", "src/normal.h", "y[i] = vd_fma(y[i], x[i], vd_set(c[k]));", "y[i] = vd_add(vd_mul(y[i], x[i]), vd_set(c[k]));", GOLDEN),
    Mutant("truncated normal off its middle by half a step", "src/truncated.h", "vf_set(-1.0f + 0x1p-24f)", "vf_set(-1.0f)", GOLDEN),
    Mutant("rounding error of a product dropped, other bounds", "src/truncated.h", "vd_add(product_low, vd_fma(u, b->mass_low, b->centre_low))", "vd_fma(u, b->mass_low, b->centre_low)", GOLDEN),
    Mutant("low part of the mass dropped, other bounds", "src/truncated.h", "vd_fma(u, b->mass_low, b->centre_low)", "b->centre_low", GOLDEN),
    Mutant("scale of a far tail dropped", "src/truncated.h", "vd_add(r[k], b->log_scale)", "r[k]", GOLDEN),
    Mutant("wrong tail", "src/truncated.h", "vd_by_sign(vd_as_int(c[k]), p, q)", "vd_by_sign(vd_as_int(c[k]), q, p)", GOLDEN),
]  # fmt: skip

CLAMPS = [
    Mutant("upper clamp removed", "src/elements.h", "y = vf_min(y, p->high_f32);", "(void)p;", EXTREME),
    Mutant("upper clamp removed, float32 alone", "src/elements.h", "if (has_high(distribution, dtype)) y = vf_min", "if (has_high(distribution, dtype) && narrower(dtype)) y = vf_min", EXTREME),
    Mutant("lower clamp removed", "src/elements.h", "? vf_max(y, p->low_f32) : y", "? y : y", EXTREME),
    Mutant("lower clamp of a uniform removed in narrow dtypes", "src/elements.h", "(distribution != INITFAST_UNIFORM || narrower(dtype))", "distribution != INITFAST_UNIFORM", GOLDEN),
    Mutant("upper clamp removed, float64", "src/elements.h", "y = vd_min(y, p->high);", "(void)p;", EXTREME),
    Mutant("lower clamp removed, float64", "src/elements.h", "? vd_max(y, p->low) : y", "? y : y", EXTREME),
    Mutant("an upper wide bound of every other vector not looked at", "src/elements.h", "vf_outside(r.second, p->least_f32, p->most_f32)", "vf_outside(r.second, p->least_f32, vf_set(1e30f))", GOLDEN),
    Mutant("second words of wide bounds from the first block", "src/inverse.h", "(uint64_t)1 << 63", "0", GOLDEN),
    Mutant("wide bounds of the dtype for those of its arithmetic", "initfast/core/distributions.py", "within = (*free, float(least), float(most))", "within = (*free, float(first), float(last))", "core/test_golden.py::test_backend"),
]  # fmt: skip

ROUNDING = [
    Mutant("bfloat16 cut off", "src/narrow.h", "v_add_bit(v_add32(x, v_set32(0x7fff)), x, 16)", "x", GOLDEN),
    Mutant("bfloat16 ties away from 0", "src/narrow.h", "v_add_bit(v_add32(x, v_set32(0x7fff)), x, 16)", "v_add32(x, v_set32(0x8000))", GOLDEN),
    Mutant("bfloat16 ties to odd", "src/narrow.h", "v_add_bit(v_add32(x, v_set32(0x7fff)), x, 16)", "v_sub32(v_add32(x, v_set32(0x8000)), v_and(v_shr32(x, 16), v_set32(1)))", GOLDEN),
    Mutant("float8 ties to odd", "src/narrow.h", "v_add32(magnitude, v_set32((1u << (drop - 1)) - 1)), magnitude, drop)", "v_add32(magnitude, v_set32((1u << (drop - 1)) - 1)), v_xor3(magnitude, v_set32(1u << drop), v_set32(0)), drop)", TIES),
    Mutant("float8 subnormals off by a power of two", "src/narrow.h", "(127 + 1 - bias - mantissa_bits + 23)", "(127 + 2 - bias - mantissa_bits + 23)", GOLDEN),
    Mutant("sign of float8 lost", "src/narrow.h", "return v_or(result, v_and(v_shr32(x, 31 - exponent_bits - mantissa_bits),\n                              v_set32(1u << (exponent_bits + mantissa_bits))));", "return result;", GOLDEN),
    Mutant("subnormal bfloat16 taken for 0", "src/elements.h", "    return may;\n", "    return 0;\n", SUBNORMAL, needs="avx512_bf16"),
    Mutant("float16 towards 0", "src/simd_avx512.h", "_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT |", "_mm512_cvtps_ph(a, _MM_FROUND_TO_ZERO |", GOLDEN, needs="avx512"),
]  # fmt: skip

COEFFICIENTS = [
    Mutant("LOG_F32[0] up by an ulp", "src/coefficients.h", "-0x1.0000000000000p+0f,\n    0x1.00001e", "-0x1.0000020000000p+0f,\n    0x1.00001e", GOLDEN),
    Mutant("LOG_F32[9] up by an ulp", "src/coefficients.h", "0x1.3ba9f40000000p-7f", "0x1.3ba9f60000000p-7f", LENGTH),
    Mutant("SIN_F32[1] up by an ulp", "src/coefficients.h", "-0x1.4abbba0000000p-1f", "-0x1.4abbbc0000000p-1f", GOLDEN),
    Mutant("COS_F32[2] up by an ulp", "src/coefficients.h", "-0x1.5580c20000000p-6f", "-0x1.5580c40000000p-6f", SHA),
    Mutant("TRUNCATED_NUMERATOR_F32[2] up by an ulp", "src/coefficients.h", "0x1.0fb8460000000p+5f", "0x1.0fb8480000000p+5f", GOLDEN),
    Mutant("TRUNCATED_DENOMINATOR_F32[4] up by an ulp", "src/coefficients.h", "0x1.010d280000000p+5f", "0x1.010d2a0000000p+5f", GOLDEN),
    Mutant("-2 ln 2 up by an ulp, float32", "src/normal.h", "vf_set(-0x1.62e430p0f)", "vf_set(-0x1.62e432p0f)", GOLDEN),
    Mutant("pi / 2 up by an ulp, float64", "src/normal.h", "0x1.921fb54442d18p0", "0x1.921fb54442d19p0", GOLDEN),
    Mutant("LOG_F64[1] up by an ulp", "src/coefficients.h", "0x1.fffffffffff7bp-3", "0x1.fffffffffff7cp-3", GOLDEN),
    Mutant("CENTRAL_NUMERATOR_F64[0] up by an ulp", "src/coefficients.h", "0x1.b18d91e9eef76p+1", "0x1.b18d91e9eef77p+1", GOLDEN),
    Mutant("NEAR_TAIL_DENOMINATOR_F64[3] up by an ulp", "src/coefficients.h", "0x1.62c6f36623655p-2", "0x1.62c6f36623656p-2", GOLDEN),
    Mutant("FAR_TAIL_NUMERATOR_F64[4] up by an ulp", "src/coefficients.h", "0x1.8c668e86279bfp+0", "0x1.8c668e86279c0p+0", GOLDEN),
    Mutant("COS_F64[7], which no value of a test shows, up by an ulp", "src/coefficients.h", "-0x1.15cd40f3c0d9bp-28", "-0x1.15cd40f3c0d9cp-28", HEADER, ""),
    Mutant("the same in the header and in the reference", "src/coefficients.h", "-0x1.15cd40f3c0d9bp-28", "-0x1.15cd40f3c0d9cp-28", TABLES, "", ("src/coefficients.py", "-0x1.15cd40f3c0d9bp-28", "-0x1.15cd40f3c0d9cp-28")),
    Mutant("SIN_F64[7], in the header and in the reference", "src/coefficients.h", "-0x1.730bec817cc73p-31", "-0x1.730bec817cc74p-31", TABLES, "", ("src/coefficients.py", "-0x1.730bec817cc73p-31", "-0x1.730bec817cc74p-31")),
]  # fmt: skip

FILLS = [
    Mutant("whole tiles begin one block late", "src/fill.c", "b->stream, first >> b->block_shift, NULL, tiles, to", "b->stream, (first >> b->block_shift) + 1, NULL, tiles, to", LENGTH, "fill"),
    Mutant("head: a start within a block taken for its first element", "src/fill.c", "p->from += (size_t)(first - (low << shift));", "", START, "fill"),
    Mutant("tail: a whole tile for the rest", "src/fill.c", "size_t tiles = count / per_tile;", "size_t tiles = (count + per_tile - 1) / per_tile;", LENGTH, "fill"),
    Mutant("tail: the last batch is never delivered", "src/fill.c", "    flush(&b);\n    environment_leave", "    environment_leave", LENGTH, "fill"),
    Mutant("one block too few in a piece", "src/fill.c", "(size_t)(high - low) + 1;", "(size_t)(high - low);", LENGTH, "fill"),
    Mutant("backward steps read one block off", "src/fill.c", "first - ((high - room + 1) << shift)", "first - ((high - room) << shift)", "core/test_steps.py::test_any_step", "fill"),
    Mutant("pieces that do not follow on are taken to", "src/fill.c", "(b->pieces == 1 || b->seam == to) && step", "step", "core/test_steps.py::test_any_step", "fill"),
    Mutant("rows by id: the first for all", "src/fill.c", "part->starts[i]", "part->starts[0]", "core/test_engine.py::test_rows_of_an_array_too_large_to_exist", "fill"),
    Mutant("FTZ and rounding of the host left as they are", "src/environment.h", "_mm_setcsr(0x1f80);", "_mm_setcsr(saved);", ENVIRONMENT, "fill"),
    Mutant("FTZ of the host not restored", "src/environment.h", "{ _mm_setcsr(saved); }", "{ (void)saved; }", ENVIRONMENT, "fill"),
    Mutant("one thread's chunk masked", "src/threads.c", "    if (begin >= j->total) return 0;\n", "    if (begin >= j->total) return 0;\n    if (number == 1) return 1;\n", THREADS, "threads"),
    Mutant("a worker makes nothing", "src/threads.c", "while (work_once(&w)) {}\n    pthread_mutex_lock", "while (take(&w)) {}\n    pthread_mutex_lock", THREADS, "threads"),
    Mutant("chunks one element short", "src/threads.c", "end = begin + j->chunk - j->skew;", "end = begin + j->chunk - j->skew - 1;", THREADS, "threads"),
    Mutant("all chunks but the first begin late", "src/threads.c", "begin = begin < j->skew ? 0 : begin - j->skew;", "begin = number ? begin - j->skew + 1 : 0;", "core/test_engine.py::test_chunks_meet_without_a_seam", "threads"),
    Mutant("threads not joined", "src/threads.c", "if (started) stopped |= wait_for_others(j, stopped ? NULL : poll);\n    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);", "if (0) wait_for_others(j, poll);", "core/test_engine.py::test_threads_do_not_change_values", "threads"),
    Mutant("Ctrl-C not heard", "src/threads.c", "if (!poll()) return 0;", "if (!poll || 1) return 0;", "core/test_engine.py::test_ctrl_c_ends_a_long_fill", "threads"),
]  # fmt: skip

PYTHON = [
    Mutant("a window's start dropped", "initfast/core/engine.py", "seed.seed, seed.stream, buffer.address, part.start, count, workers", "seed.seed, seed.stream, buffer.address, 0, count, workers", "core/test_engine.py::test_parts_of_an_array_too_large_to_exist", ""),
    Mutant("strided memory taken for contiguous", "initfast/core/engine.py", "in_order(part) and buffer.owner.flags.c_contiguous", "in_order(part)", "core/test_engine.py::test_threads_do_not_change_any_dtype", ""),
    Mutant("seed and stream change places", "initfast/core/engine.py", "source, seed.seed, seed.stream, address, piece.start,", "source, seed.stream, seed.seed, address, piece.start,", "core/test_properties.py::test_a_part_is_the_part_of_the_whole", ""),
    Mutant("a uniform's largest value is maxval", "initfast/core/distributions.py", "target.up(low), target.below(high)", "target.up(low), target.down(high)", "core/test_bounds.py::test_uniform_is_half_open", ""),
    Mutant("a uniform's first value rounded to nearest", "initfast/core/distributions.py", "compute.up(low), first, last", "compute.nearest(low), first, last", GOLDEN, ""),
    Mutant("bounds of a truncated normal rounded outwards", "initfast/core/distributions.py", "first = target.up(Fraction(mean)", "first = target.down(Fraction(mean)", "core/test_bounds.py::test_truncated_normal_stays_within", ""),
    Mutant("far tails begin at 5", "initfast/core/truncation.py", "FAR = 4.0", "FAR = 5.0", "core/test_truncation.py::test_parameters", ""),
    Mutant("low half of a probability dropped", "initfast/core/truncation.py", "return high, float(value - Decimal(high))", "return high, 0.0", GOLDEN, ""),
    Mutant("a name's digest read from its other end", "initfast/core/seeds.py", 'int.from_bytes(digest, "little")', 'int.from_bytes(digest, "big")', "core/test_seeds.py::test_a_name_is_the_stream_of_its_blake2b", ""),
]  # fmt: skip

MUTANTS = [*WORDS, *VALUES, *CLAMPS, *ROUNDING, *COEFFICIENTS, *FILLS, *PYTHON]
