// Encryption and decryption of images on a CPU, for schemes that move values and do not change them: one XLA FFI handler.
//
// An image's key splits into one child for each transform of the scheme. A child draws the order of the blocks, the order
// of the values that all blocks share, or, split once more, an order for each block. The bytes are those of the rules in
// dkjax/prng.py and dkjax/cipher/permutations.py; chacha20.h, order.h and move.h hold the parts.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "move.h"
#include "order.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

enum Inside : int32_t { kKept, kAlike, kOwn, kSorted };  // the values inside a block; permute.py has the same numbers

struct Plan {
  Layout layout;
  size_t width, values;  // width: bytes of a value
  const int32_t* settings;

  size_t transforms() const { return settings[1]; }
  int blocks_child() const { return settings[2]; }  // which child of a key draws; below 0: none
  size_t fixed_blocks() const { return settings[3]; }
  Inside inside() const { return static_cast<Inside>(settings[4]); }
  int inside_child() const { return settings[5]; }
  size_t fixed_pixels() const { return settings[6]; }
  bool inverse() const { return settings[7]; }
};

// What one thread needs to work on one image after the other.
class Worker {
 public:
  explicit Worker(const Plan& plan)
      : plan_(plan),
        source_(plan.layout.blocks()),
        drawn_(std::max(plan.layout.blocks(), plan.values)),
        order_(plan.values + 15),
        places_(plan.values),
        children_(keystream_room(plan.transforms() * kKeyWords)),
        block_keys_(plan.inside() == kOwn ? keystream_room(plan.layout.blocks() * kKeyWords) : 0),
        from_(plan.layout.block_bytes()),
        to_(plan.layout.block_bytes() + 16),
        blocks_(plan.layout.blocks()),
        values_(plan.values),
        alike_(plan.layout) {}

  void run(const uint32_t* key, const uint8_t* image, uint8_t* out) {
    const Layout& layout = plan_.layout;
    const bool fetched = fits_cache(layout);
    if (fetched) expect(image, out, layout.bytes());
    if (key != last_key_) draw(key);  // images may share a key
    last_key_ = key;
    if (plan_.inside() == kKept) return move_blocks(layout, image, source_.get(), out);
    if (plan_.inside() == kAlike && plan_.width == 1) return alike_.move(image, source_.get(), order_.get(), out);
    for (size_t block = 0; block < layout.blocks(); ++block) {
      if (!fetched && block + 1 < layout.blocks()) expect_block(layout, image, source_[block + 1]);
      if (plan_.inside() == kSorted) {
        layout.cut(image, source_[block], from_.get());
        sort_bytes(from_.get(), plan_.values, to_.get());
        layout.paste(to_.get(), out, block);
        continue;
      }
      // Each block's own order belongs to the place that it has in the encrypted image.
      if (plan_.inside() == kOwn)
        draw_order(block_keys_.get() + kKeyWords * (plan_.inverse() ? source_[block] : block));
      gather(layout, plan_.width, image + layout.start(source_[block]), places_.get(), out + layout.start(block));
    }
  }

 private:
  void draw(const uint32_t* key) {
    split(key, plan_.transforms(), children_.get());
    const size_t num_blocks = plan_.layout.blocks();
    for (size_t i = 0; i < num_blocks; ++i) source_[i] = static_cast<uint32_t>(i);
    if (plan_.blocks_child() >= 0) {
      uint32_t* drawn = plan_.inverse() ? drawn_.get() : source_.get();
      blocks_.draw(children_.get() + kKeyWords * plan_.blocks_child(), plan_.fixed_blocks(), drawn);
      if (plan_.inverse()) invert(drawn, num_blocks, source_.get());
    }
    const uint32_t* inside_key = children_.get() + kKeyWords * std::max(plan_.inside_child(), 0);
    if (plan_.inside() == kAlike) draw_order(inside_key);
    if (plan_.inside() == kOwn) split(inside_key, num_blocks, block_keys_.get());
  }

  void draw_order(const uint32_t* key) {
    uint32_t* drawn = plan_.inverse() ? drawn_.get() : order_.get();
    values_.draw(key, plan_.fixed_pixels(), drawn);
    if (plan_.inverse()) invert(drawn, plan_.values, order_.get());
    const size_t row = plan_.layout.row_bytes / plan_.width, stride = plan_.layout.stride() / plan_.width;
    for (size_t i = 0; i < plan_.values; ++i)
      places_[i] = static_cast<uint32_t>(order_[i] / row * stride + order_[i] % row);
  }

  const Plan& plan_;
  const uint32_t* last_key_ = nullptr;
  Secret<uint32_t> source_, drawn_, order_, places_, children_, block_keys_;
  Secret<uint8_t> from_, to_;
  Drawing blocks_, values_;
  AlikeBytes alike_;
};

// The images of a call, of which every thread takes some until none is left. Nobody waits for a thread that has not begun:
// the threads of the pool may all be busy with calls that wait like this one.
struct Work {
  Plan plan;
  size_t images, at_once, ways, rows;  // at_once: images of a piece; rows: pieces of each way through the batch
  std::vector<size_t> sizes, key_steps;  // of the axes before an image's: their lengths, and the keys' steps along them
  const uint32_t* keys;
  const uint8_t* in;
  uint8_t* out;

  std::mutex mutex;
  std::condition_variable changed;
  size_t next = 0, busy = 0;  // next: how many places for a piece were gone through
  bool failed = false;

  bool left() const { return !failed && next < rows * ways; }

  // The first image of the next piece; `images` if none is left. Pieces are taken from as many places of the batch by turns
  // as there are threads: two that write to one page of fresh memory at the same time have it cleared twice.
  size_t take() {
    const std::lock_guard<std::mutex> lock(mutex);
    size_t first = images;
    for (; left() && first >= images; ++next) first = (next % ways * rows + next / ways) * at_once;
    return std::min(first, images);
  }

  const uint32_t* key_of(size_t image) const {
    size_t key = 0;
    for (size_t axis = sizes.size(); axis-- > 0; image /= sizes[axis]) key += image % sizes[axis] * key_steps[axis];
    return keys + key * kKeyWords;
  }

  void help() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!left()) return;
      ++busy;
    }
    bool done = false;
    try {
      Worker worker(plan);
      const size_t bytes = plan.layout.bytes();
      for (size_t first; (first = take()) < images;)
        for (size_t image = first; image < std::min(first + at_once, images); ++image)
          worker.run(key_of(image), in + image * bytes, out + image * bytes);
      done = true;
    } catch (const std::bad_alloc&) {
    }
    wipe_stack();
    const std::lock_guard<std::mutex> lock(mutex);
    failed = failed || !done;
    --busy;
    changed.notify_all();
  }

  bool finish() {
    help();
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return busy == 0; });
    return !failed;
  }
};

// Asks for pages of 2 MiB for a large result, which Linux may give where it is asked: to be given it 4 KiB at a time takes
// longer than to encrypt it.
void want_huge_pages(uint8_t* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  static const uintptr_t page = sysconf(_SC_PAGESIZE);
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
  if (bytes >= size_t{1} << 22) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

// settings s32[8], keys u32[..., 8], images [..., H, W, C] -> zeros, images. The settings are the fields of Plan in
// permute.py; an axis of the keys has the length of the images' or 1. The zeros overwrite the keys: the
// caller has the one in the memory of the other.
ffi::Error Permute(ffi::ThreadPool pool, ffi::Buffer<ffi::S32> settings, ffi::Buffer<ffi::U32> keys,
                   ffi::AnyBuffer images, ffi::ResultBuffer<ffi::U32> erased, ffi::Result<ffi::AnyBuffer> out) {
  const auto k = keys.dimensions(), d = images.dimensions();
  const auto wrong = [] { return ffi::Error::InvalidArgument("expected keys u32[..., 8] and images [..., H, W, C]"); };
  if (settings.element_count() != 8 || d.size() < 3 || k.size() + 2 != d.size() || k[k.size() - 1] != int64_t{kKeyWords} ||
      settings.typed_data()[0] < 1 ||
      out->size_bytes() != images.size_bytes() || erased->size_bytes() != keys.size_bytes())
    return wrong();
  const size_t leading = d.size() - 3, height = d[leading], width = d[leading + 1], channels = d[leading + 2];
  const size_t side = settings.typed_data()[0], bytes = ffi::ByteWidth(images.element_type());
  if (height % side || width % side || !height || !width || !channels) return wrong();

  const auto work = std::make_shared<Work>();
  const Layout layout = {height / side, width / side, side, side * channels * bytes};
  work->plan = {layout, bytes, side * side * channels, settings.typed_data()};
  work->images = 1;
  work->sizes.assign(d.begin(), d.begin() + leading);
  work->key_steps.resize(leading);
  for (size_t axis = leading, step = 1; axis-- > 0; step *= k[axis]) {
    if (k[axis] != d[axis] && k[axis] != 1) return wrong();
    work->images *= d[axis];
    work->key_steps[axis] = k[axis] == 1 ? 0 : step;
  }
  work->keys = keys.typed_data();
  work->in = static_cast<const uint8_t*>(images.untyped_data());
  work->out = static_cast<uint8_t*>(out->untyped_data());

  want_huge_pages(work->out, out->size_bytes());
  // Pieces of some ten microseconds: waking a thread costs as much.
  const size_t cost = work->plan.layout.bytes() + (size_t{1} << 14);
  work->at_once = std::max<size_t>(1, (size_t{1} << 16) / cost);
  const size_t pieces = (work->images + work->at_once - 1) / work->at_once;
  work->ways = std::max<size_t>(1, std::min<size_t>(std::max<int64_t>(pool.num_threads(), 1), pieces));
  work->rows = (pieces + work->ways - 1) / work->ways;
  for (size_t thread = 1; thread < work->ways; ++thread) pool.Schedule([work] { work->help(); });
  const bool finished = work->finish();
  wipe(erased->typed_data(), erased->size_bytes());
  return finished ? ffi::Error::Success() : ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(DkjaxPermute, Permute,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::U32>>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::Buffer<ffi::U32>>()
                                  .Ret<ffi::AnyBuffer>());
