// A data set read where it lies: any strides, several element types, rows in any order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace evenflow {

enum class Element { f32, f64, u8, i32, i64 };

struct Feed {
  const char* data = nullptr;
  Element element = Element::f32;
  std::ptrdiff_t row_stride = 0, column_stride = 0;  // bytes
  std::int64_t rows = 0;
  int columns = 0;
  const std::int64_t* order = nullptr;  // row of each position; nullptr: as they lie

  // Whether a row is a C-ordered, aligned array of T.
  template <class T>
  bool holds() const {
    constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(T));
    return element == (size == 4 ? Element::f32 : Element::f64) && column_stride == size && row_stride % size == 0 &&
           reinterpret_cast<std::uintptr_t>(data) % sizeof(T) == 0;
  }
  const char* row(std::int64_t position) const {
    return data + (order != nullptr ? order[position] : position) * row_stride;
  }
  // Asks the caches for columns of a row before they are read, where they lie side by side.
  void prefetch(std::int64_t position, int first_column, int end_column) const {
    if (column_stride < 1 || column_stride > 8) return;
    const char* from = row(position) + first_column * column_stride;
    const std::ptrdiff_t bytes = (end_column - first_column) * column_stride;
    for (std::ptrdiff_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i);
  }
};

using Feeds = std::vector<Feed>;  // of each input

template <class S>
inline S read(const char* at) {  // need not be aligned
  S value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T, class S>
inline void convert(T* to, const char* from, std::ptrdiff_t stride, int count) {
  if (stride == static_cast<std::ptrdiff_t>(sizeof(S))) {
    if constexpr (sizeof(T) == sizeof(S) && S(0.5) == T(0.5)) {
      std::memcpy(to, from, sizeof(T) * static_cast<std::size_t>(count));
    } else {
      for (int i = 0; i < count; ++i)
        to[i] = static_cast<T>(read<S>(from + i * static_cast<std::ptrdiff_t>(sizeof(S))));
    }
  } else {
    for (int i = 0; i < count; ++i) to[i] = static_cast<T>(read<S>(from + i * stride));
  }
}

// to[0 .. count) = columns [first, first + count) of a row
template <class T>
inline void convert_row(T* to, const Feed& feed, const char* row, int first, int count) {
  const char* from = row + first * feed.column_stride;
  switch (feed.element) {
    case Element::f32:
      return convert<T, float>(to, from, feed.column_stride, count);
    case Element::f64:
      return convert<T, double>(to, from, feed.column_stride, count);
    case Element::u8:
      return convert<T, std::uint8_t>(to, from, feed.column_stride, count);
    case Element::i32:
      return convert<T, std::int32_t>(to, from, feed.column_stride, count);
    case Element::i64:
      return convert<T, std::int64_t>(to, from, feed.column_stride, count);
  }
}

}  // namespace evenflow
