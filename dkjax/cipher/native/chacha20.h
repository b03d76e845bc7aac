// Keystreams and child keys, as dkjax/prng.py defines them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace baseline {
#define VECTOR_BYTES 16
#include "keystream.inc"
#undef VECTOR_BYTES
}  // namespace baseline

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
namespace avx2 {
#define VECTOR_BYTES 32
#include "keystream.inc"
#undef VECTOR_BYTES
}  // namespace avx2
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

constexpr size_t kKeyWords = 8;
static const uint32_t kSplitNonce[3] = {0x616a6b64, 0x70732f78, 0x2f74696c};  // "dkjax/split/"
static const uint32_t kBitsNonce[3] = {0x616a6b64, 0x69622f78, 0x2f2f7374};   // "dkjax/bits//"

// How many words `keystream` may write where so many are wanted: it makes up to 8 blocks of 16 words at once.
constexpr size_t keystream_room(size_t words) { return (words + 127) / 128 * 128; }

inline void keystream(const uint32_t* key, const uint32_t* nonce, size_t words, uint32_t* out) {
#ifdef __x86_64__
  static const bool has_avx2 = __builtin_cpu_supports("avx2");
  if (has_avx2) return avx2::keystream(key, nonce, words, out);
#endif
  baseline::keystream(key, nonce, words, out);
}

// Splits a key into children of 8 words each.
inline void split(const uint32_t* key, size_t children, uint32_t* out) {
  keystream(key, kSplitNonce, children * kKeyWords, out);
}
