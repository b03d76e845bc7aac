// Memory that held keys, or what a key decides, is overwritten before it is given back.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

// Overwrites with zeros, even if nothing reads them: the compiler must take it that the assembly does.
inline void wipe(void* memory, size_t bytes) {
  std::memset(memory, 0, bytes);
  __asm__ __volatile__("" : : "r"(memory) : "memory");
}

// Overwrites what returned functions left on the stack, such as registers that were saved there.
__attribute__((noinline)) inline void wipe_stack() {
  uint8_t below[1 << 14];
  wipe(below, sizeof below);
}

// An array that is wiped when it is given back, aligned for vectors.
template <typename T>
class Secret {
 public:
  explicit Secret(size_t size) : bytes_(size * sizeof(T) + 64), memory_(new uint8_t[bytes_]) {
    std::memset(memory_.get(), 0, bytes_);
    const auto at = reinterpret_cast<uintptr_t>(memory_.get());
    first_ = reinterpret_cast<T*>((at + 63) / 64 * 64);
  }
  ~Secret() { wipe(memory_.get(), bytes_); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  T* get() { return first_; }
  const T* get() const { return first_; }
  T& operator[](size_t i) { return first_[i]; }

 private:
  size_t bytes_;
  std::unique_ptr<uint8_t[]> memory_;
  T* first_;
};
