// Restricted random permutations, as dkjax/cipher/permutations.py draws them.
#pragma once
#include <cmath>

#include "chacha20.h"
#include "secrets.h"

// Draws permutations of up to 32768 positions; it holds what a draw needs, for one after the other.
class Drawing {
 public:
  explicit Drawing(size_t n)
      : n_(n), bits_(bits_for(n)), words_(keystream_room(2 * n)), sorted_(n), moved_(n), ends_((size_t{1} << bits_) + 1) {}

  // Writes the permutation of a key that leaves `fixed` positions in place. As the rule has it, positions get random
  // words of their own and are sorted by them; the first `fixed` of that order stay, and the i-th smallest of the others
  // receives the i-th of the others.
  void draw(const uint32_t* key, size_t fixed, uint32_t* permutation) {
    if (n_ < 2 || fixed >= n_ - 1) {
      for (size_t i = 0; i < n_; ++i) permutation[i] = static_cast<uint32_t>(i);
      return;
    }
    sort(key);
    const uint32_t mask = (1u << bits_) - 1;
    if (fixed == 0) {
      for (size_t i = 0; i < n_; ++i) permutation[i] = static_cast<uint32_t>(sorted_[i]) & mask;
      return;
    }
    for (size_t i = 0; i < n_; ++i) {
      const uint32_t position = static_cast<uint32_t>(sorted_[i]) & mask;
      moved_[position] = i >= fixed;
      permutation[position] = position;
    }
    for (size_t position = 0, i = fixed; position < n_; ++position)
      if (moved_[position]) permutation[position] = static_cast<uint32_t>(sorted_[i++]) & mask;
  }

 private:
  // How many bits a position has.
  static uint32_t bits_for(size_t n) {
    uint32_t bits = 1;
    while (n > size_t{1} << bits) ++bits;
    return bits;
  }

  // Sorts the positions by their words, one for up to 22 positions and two for more; the low bits of the last are the
  // position. Buckets by the highest bits, about one position in each, leave little for the insertion sort.
  void sort(const uint32_t* key) {
    const size_t each = n_ <= 22 ? 1 : 2;
    const uint32_t mask = (1u << bits_) - 1, shift = 32 - bits_, random = each == 1 ? ~mask : ~0u;
    keystream(key, kBitsNonce, each * n_, words_.get());
    const uint32_t *first = words_.get(), *last = first + (each - 1) * n_;
    std::memset(ends_.get(), 0, ((size_t{1} << bits_) + 1) * sizeof(uint32_t));
    for (size_t i = 0; i < n_; ++i) ++ends_[(first[i] >> shift) + 1];
    for (size_t bucket = 1; bucket < size_t{1} << bits_; ++bucket) ends_[bucket] += ends_[bucket - 1];
    for (size_t i = 0; i < n_; ++i)
      sorted_[ends_[first[i] >> shift]++] = uint64_t{first[i] & random} << 32 | (last[i] & ~mask) | static_cast<uint32_t>(i);
    for (size_t i = 1; i < n_; ++i) {
      const uint64_t one = sorted_[i];
      size_t at = i;
      for (; at > 0 && sorted_[at - 1] > one; --at) sorted_[at] = sorted_[at - 1];
      sorted_[at] = one;
    }
  }

  size_t n_;
  uint32_t bits_;
  Secret<uint32_t> words_;
  Secret<uint64_t> sorted_;
  Secret<uint8_t> moved_;
  Secret<uint32_t> ends_;
};

inline void invert(const uint32_t* permutation, size_t n, uint32_t* inverse) {
  for (size_t i = 0; i < n; ++i) inverse[permutation[i]] = static_cast<uint32_t>(i);
}
