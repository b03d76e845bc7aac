// Moving the values of one image: its blocks change places, and so do the values inside each.
#pragma once
#include <utility>
#include <vector>

#include "secrets.h"

// Where the values of an image [H, W, C] of some bytes each are, block by block of `side` pixels.
struct Layout {
  size_t block_rows, block_columns, side, row_bytes;  // row_bytes: of one row of a block

  size_t blocks() const { return block_rows * block_columns; }
  size_t block_bytes() const { return side * row_bytes; }
  size_t stride() const { return block_columns * row_bytes; }
  size_t bytes() const { return blocks() * block_bytes(); }
  size_t start(size_t block) const {
    return block / block_columns * side * stride() + block % block_columns * row_bytes;
  }
  // Copies a block of an image to or from its bytes in a row.
  void cut(const uint8_t* image, size_t block, uint8_t* out) const {
    copy(image + start(block), stride(), out, row_bytes);
  }
  void paste(const uint8_t* bytes, uint8_t* image, size_t block) const {
    copy(bytes, row_bytes, image + start(block), stride());
  }
  void copy(const uint8_t* from, size_t from_stride, uint8_t* to, size_t to_stride) const {
    const bool vectors = row_bytes % 16 == 0 && row_bytes <= 256;  // a call of memcpy for each would take longer
    for (size_t row = 0; row < side; ++row, from += from_stride, to += to_stride)
      if (vectors)
        for (size_t at = 0; at < row_bytes; at += 16) std::memcpy(to + at, from + at, 16);
      else
        std::memcpy(to, from, row_bytes);
  }
};

// Fetches an image into the cache meanwhile, which takes some of its time. Of one that would drive the rest out, a block.
inline bool fits_cache(const Layout& layout) { return layout.bytes() <= size_t{1} << 19; }

inline void expect(const uint8_t* image, uint8_t* out, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(image + at, 0);
    __builtin_prefetch(out + at, 1);
  }
}

inline void expect_block(const Layout& layout, const uint8_t* image, size_t block) {
  const uint8_t* row = image + layout.start(block);
  for (size_t i = 0; i < layout.side; ++i, row += layout.stride())
    for (size_t at = 0; at < layout.row_bytes; at += 64) __builtin_prefetch(row + at, 0);
}

// Block b of the result is block source[b].
inline void move_blocks(const Layout& layout, const uint8_t* image, const uint32_t* source, uint8_t* out) {
  for (size_t block = 0; block < layout.blocks(); ++block)
    layout.copy(image + layout.start(source[block]), layout.stride(), out + layout.start(block), layout.stride());
}

// Turns 16 rows of 16 bytes into columns. Four times, the rows are interleaved like the halves of a deck of cards.
typedef uint8_t Row __attribute__((vector_size(16)));
inline __attribute__((always_inline)) void transpose(Row* rows) {
#if defined(__clang__) || __GNUC__ >= 12
#define INTERLEAVED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define INTERLEAVED(a, b, ...) __builtin_shuffle(a, b, Row{__VA_ARGS__})
#endif
  for (int turn = 0; turn < 4; ++turn) {
    Row mixed[16];
    for (int i = 0; i < 8; ++i) {
      mixed[2 * i] = INTERLEAVED(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      mixed[2 * i + 1] = INTERLEAVED(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; ++i) rows[i] = mixed[i];
  }
#undef INTERLEAVED
}

// Moves the bytes of 16 blocks, in all of them alike: byte i is byte order[i]. Side by side, value by value, in `columns`,
// that is a copy of rows of 16 bytes. A block's bytes are `pieces` times 16, piece k at `at[k]` after `from` and `to`.
inline __attribute__((noinline)) void move_alike(const uint8_t* const* from, uint8_t* const* to, const size_t* at,
                                                 size_t pieces, const uint32_t* order, uint8_t* columns) {
  Row tile[16];
  for (size_t k = 0; k < pieces; ++k) {
    for (int i = 0; i < 16; ++i) std::memcpy(&tile[i], from[i] + at[k], 16);
    transpose(tile);
    std::memcpy(columns + 256 * k, tile, 256);
  }
  for (size_t k = 0; k < pieces; ++k) {
    for (int i = 0; i < 16; ++i) std::memcpy(&tile[i], columns + 16 * size_t{order[16 * k + i]}, 16);
    transpose(tile);
    for (int i = 0; i < 16; ++i) std::memcpy(to[i] + at[k], &tile[i], 16);
  }
}

// The same for all blocks of an image, which change places at the same time.
class AlikeBytes {
 public:
  explicit AlikeBytes(const Layout& layout)
      : layout_(layout),
        pieces_((layout.block_bytes() + 15) / 16),
        in_place_(layout.row_bytes % 16 == 0),
        at_(pieces_),
        columns_(pieces_ * 256),
        from_(in_place_ ? 0 : pieces_ * 256),
        to_(in_place_ ? 0 : pieces_ * 256) {
    for (size_t k = 0; k < pieces_; ++k)
      at_[k] = in_place_ ? 16 * k / layout.row_bytes * layout.stride() + 16 * k % layout.row_bytes : 16 * k;
  }

  // Up to a multiple of 16, `order` may be read beyond a block's bytes.
  void move(const uint8_t* image, const uint32_t* source, const uint32_t* order, uint8_t* out) {
    const uint8_t* from[16];
    uint8_t* to[16];
    for (size_t first = 0; first < layout_.blocks(); first += 16) {
      const size_t blocks = std::min<size_t>(16, layout_.blocks() - first);
      for (size_t i = 0; i < 16; ++i) {
        const size_t block = first + std::min(i, blocks - 1);  // the last one again, for those that are missing
        from[i] = in_place_ ? image + layout_.start(source[block]) : from_.get() + i * pieces_ * 16;
        to[i] = in_place_ ? out + layout_.start(block) : to_.get() + i * pieces_ * 16;
        if (!in_place_) layout_.cut(image, source[block], from_.get() + i * pieces_ * 16);
      }
      move_alike(from, to, at_.data(), pieces_, order, columns_.get());
      for (size_t i = 0; i < blocks && !in_place_; ++i) layout_.paste(to[i], out, first + i);
    }
  }

 private:
  Layout layout_;
  size_t pieces_;
  bool in_place_;
  std::vector<size_t> at_;
  Secret<uint8_t> columns_, from_, to_;
};

// Collects values into a vector, which is written at once: to write them one by one takes longer than to find them.
template <typename T, size_t... i>
inline void gather_vector(const T* in, const uint32_t* places, T* out, std::index_sequence<i...>) {
  typedef T Values __attribute__((vector_size(16)));
  const Values values = {in[places[i]]...};
  std::memcpy(out, &values, 16);
}

// Moves the values of one block of an image, of any type: value i is the one `places[i]` values after its first. They are
// `row` values of a row of a block, and `stride` of a row of the image.
template <typename T>
void gather(const uint8_t* from, const uint32_t* places, size_t side, size_t row, size_t stride, uint8_t* to) {
  constexpr size_t lanes = 16 / sizeof(T);
  const T* in = reinterpret_cast<const T*>(from);
  T* out = reinterpret_cast<T*>(to);
  for (size_t i = 0; i < side; ++i, out += stride, places += row) {
    size_t j = 0;
    for (; j + lanes <= row; j += lanes) gather_vector(in, places + j, out + j, std::make_index_sequence<lanes>());
    for (; j < row; ++j) out[j] = in[places[j]];
  }
}

inline void gather(const Layout& layout, size_t width, const uint8_t* from, const uint32_t* places, uint8_t* to) {
  const size_t side = layout.side, row = layout.row_bytes / width, stride = layout.stride() / width;
  if (width == 1) return gather<uint8_t>(from, places, side, row, stride, to);
  if (width == 2) return gather<uint16_t>(from, places, side, row, stride, to);
  if (width == 4) return gather<uint32_t>(from, places, side, row, stride, to);
  return gather<uint64_t>(from, places, side, row, stride, to);
}

// Sorts bytes by counting them, in four tables by turns, as neighbours are often equal. `out` has 16 bytes to spare.
inline void sort_bytes(const uint8_t* from, size_t values, uint8_t* out) {
  uint32_t counts[4][256] = {};
  size_t i = 0;
  for (; i + 4 <= values; i += 4)
    ++counts[0][from[i]], ++counts[1][from[i + 1]], ++counts[2][from[i + 2]], ++counts[3][from[i + 3]];
  for (; i < values; ++i) ++counts[0][from[i]];
  for (int value = 0; value < 256; ++value) {
    const size_t count = counts[0][value] + counts[1][value] + counts[2][value] + counts[3][value];
    std::memset(out, value, 16);
    if (count > 16) std::memset(out, value, count);
    out += count;
  }
}
