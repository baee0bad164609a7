#include "cuda/resident.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace evenflow::cuda {

namespace {

std::size_t element_bytes(Element element) {
  switch (element) {
    case Element::u8:
      return 1;
    case Element::f32:
    case Element::i32:
      return 4;
    default:
      return 8;
  }
}

Table described(const Feed& feed, const void* data) {
  Table table;
  table.data = static_cast<const char*>(data);
  table.element = feed.element;
  table.columns = feed.columns;
  table.row_bytes = static_cast<std::ptrdiff_t>(element_bytes(feed.element)) * feed.columns;
  return table;
}

}  // namespace

// Rows that do not lie side by side are put together on the way, some at a time.
Buffer Resident::copy(const Feed& feed, std::int64_t rows, cudaStream_t stream) {
  const std::size_t element = element_bytes(feed.element), columns = static_cast<std::size_t>(feed.columns);
  const std::size_t row = element * columns;
  Buffer buffer;
  try {
    buffer = Buffer(row * static_cast<std::size_t>(rows));
  } catch (const OutOfMemory&) {
    held_.remove_if([](const Held& held) { return !held.used; });
    buffer = Buffer(row * static_cast<std::size_t>(rows));
  }
  const bool dense = (columns == 1 || feed.column_stride == static_cast<std::ptrdiff_t>(element)) &&
                     (rows == 1 || feed.row_stride == static_cast<std::ptrdiff_t>(row));
  if (dense) {
    upload(buffer.as(), feed.data, row * static_cast<std::size_t>(rows), stream);
  } else {
    const std::int64_t part = std::max<std::int64_t>(1, (std::int64_t{16} << 20) / static_cast<std::int64_t>(row));
    std::vector<char> staged(row * static_cast<std::size_t>(std::min(part, rows)));
    for (std::int64_t first = 0; first < rows; first += part) {
      const std::int64_t count = std::min(part, rows - first);
      char* to = staged.data();
      for (std::int64_t r = first; r < first + count; ++r)
        for (std::size_t c = 0; c < columns; ++c, to += element)
          std::memcpy(to, feed.data + r * feed.row_stride + static_cast<std::ptrdiff_t>(c) * feed.column_stride,
                      element);
      upload(buffer.as<char>() + row * static_cast<std::size_t>(first), staged.data(),
             row * static_cast<std::size_t>(count), stream);
      check(cudaStreamSynchronize(stream), "copying to it");  // the memory is used again
    }
  }
  check(cudaStreamSynchronize(stream), "copying to it");
  return buffer;
}

Table Resident::table(const Feed& feed, std::int64_t rows, cudaStream_t stream) {
  const auto same = [&](const Held& held) {
    return held.feed.data == feed.data && held.rows == rows && held.feed.columns == feed.columns &&
           held.feed.element == feed.element && held.feed.row_stride == feed.row_stride &&
           held.feed.column_stride == feed.column_stride;
  };
  const auto found = std::find_if(held_.begin(), held_.end(), same);
  if (found == held_.end()) {
    Buffer buffer = copy(feed, rows, stream);
    if (held_.size() >= most) held_.pop_back();
    held_.push_front(Held{feed, rows, std::move(buffer), true});
  } else {
    held_.splice(held_.begin(), held_, found);
    found->used = true;
  }
  return described(feed, held_.front().buffer.as());
}

Table Resident::once(const Feed& feed, std::int64_t rows, cudaStream_t stream) {
  release();
  once_ = copy(feed, rows, stream);
  return described(feed, once_.as());
}

}  // namespace evenflow::cuda
