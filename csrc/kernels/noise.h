// Random layers: loops over one panel, in tiles of rows whose random numbers fit beside it in the first-level cache.
#pragma once

#include "kernels/columns.h"
#include "math/noise.h"

namespace evenflow {

// Words of `rows` rows of `blocks` neighbouring blocks, [row][block][4], from the counter on. blocks is a power of two
// of at most as many as there are lanes, and `to` has room for whole vectors of blocks.
template <class W>
EVENFLOW_INLINE void random_words(std::uint32_t* to, std::uint64_t key, Counter first, int rows, int blocks) {
  std::uint64_t block[W::lanes], row[W::lanes];
  for (int lane = 0; lane < W::lanes; ++lane) {  // in the order in which W stores lanes
    const int i = lane % 2 * (W::lanes / 2) + lane / 2;
    block[lane] = first.block + static_cast<std::uint64_t>(i % blocks);
    row[lane] = first.row + static_cast<std::uint64_t>(i / blocks);
  }
  const W blocks_of_lanes = W::load(block), step_low(std::uint64_t{first.step_low});
  const W step_high(std::uint64_t{first.step_high_and_layer}), next(static_cast<std::uint64_t>(W::lanes / blocks));
  W row_of_lanes = W::load(row);
  for (int done = 0; done < rows * blocks; done += W::lanes, to += 4 * W::lanes) {
    W c[4] = {blocks_of_lanes, row_of_lanes, step_low, step_high};
    philox4x32(c, key);
    W::store(c[0], c[1], c[2], c[3], to);
    row_of_lanes = row_of_lanes + next;
  }
}

// One block of each row, into memory of just that size.
template <class V>
void random_words_of_rows(std::uint32_t* to, std::uint64_t key, Counter first, int rows) {
  using W = typename V::words;
  std::uint32_t words[4 * W::lanes];
  for (int row = 0; row < rows; row += W::lanes, first.row += static_cast<std::uint32_t>(W::lanes)) {
    random_words<W>(words, key, first, W::lanes, 1);
    std::memcpy(to + 4 * static_cast<std::ptrdiff_t>(row), words,
                sizeof(std::uint32_t) * 4 * static_cast<std::size_t>(smaller(W::lanes, rows - row)));
  }
}

template <class V, class Noise>
struct NoiseColumns {
  using T = scalar_of<V>;
  using W = typename V::words;
  using Random = typename Noise::template Random<V>;
  static constexpr int of_block = 128 / Random::bits;  // random numbers
  static constexpr int tile_blocks = 64;
  static_assert(W::lanes * of_block >= 2 * V::lanes, "a row of a panel must not take more blocks than there are lanes");

  // The same for numbers that are shared: a panel's are put side by side first, one feature after the other.
  template <class Body>
  EVENFLOW_INLINE static void each_shared(int rows, int width, const Draw& draw, Body body) {
    constexpr int tile = 16;
    alignas(64) std::uint32_t words[4 * tile];
    alignas(64) std::int16_t numbers[tile * 2 * V::lanes];
    for (int first = 0; first < rows; first += tile) {
      const int count = smaller(tile, rows - first), drawn = draw.one_row ? 1 : count;
      const std::uint32_t row = draw.one_row ? 0 : draw.row + static_cast<std::uint32_t>(first);
      std::uint32_t known = 0;
      for (int j = 0; j < width; ++j) {
        const std::uint32_t number =
            draw.groups != nullptr ? draw.groups[j] : draw.feature + static_cast<std::uint32_t>(j);
        const std::uint32_t block = number / of_block;
        if (j == 0 || block != known)
          random_words_of_rows<V>(words, draw.seed, counter_of(draw.step, draw.layer, row, known = block), drawn);
        for (int i = 0; i < count; ++i)
          std::memcpy(numbers + i * width + j,
                      reinterpret_cast<const char*>(words + (draw.one_row ? 0 : 4 * i)) +
                          sizeof(std::int16_t) * (number % of_block),
                      sizeof(std::int16_t));
      }
      for (int i = 0; i < count; ++i)
        each_vector<V>(width, [&](int j) {
          body(static_cast<std::ptrdiff_t>(first + i) * width + j, Random{numbers + i * width + j});
        });
    }
  }

  // body(at, random number) for every vector of the panel, `at` its place.
  template <class Body>
  EVENFLOW_INLINE static void each(int rows, int width, const Draw& draw, Body body) {
    if constexpr (Random::bits == 16)
      if (draw.shares()) return each_shared(rows, width, draw, body);
    alignas(64) std::uint32_t words[4 * tile_blocks];
    alignas(64) T normals[Random::bits == 32 ? 4 * tile_blocks : 1];
    const int blocks = width < of_block ? 1 : width / of_block;
    const int rows_of_tile = tile_blocks / blocks, pitch = blocks * of_block;
    const int offset = static_cast<int>(draw.feature % of_block);
    for (int first = 0; first < rows; first += rows_of_tile) {
      const int count = smaller(rows_of_tile, rows - first);
      random_words<W>(
          words, draw.seed,
          counter_of(draw.step, draw.layer, draw.row + static_cast<std::uint32_t>(first), draw.feature / of_block),
          count, blocks);
      if constexpr (Random::bits == 32)
        make_normals(normals, words, (count * blocks + W::lanes - 1) / W::lanes * W::lanes);
      for (int row = 0; row < count; ++row)
        each_vector<V>(width, [&](int j) {
          const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first + row) * width + j;
          const int number = row * pitch + offset + j;
          if constexpr (Random::bits == 32)
            body(at, Random{normals + number});
          else
            body(at, Random{reinterpret_cast<const std::int16_t*>(words) + number});
        });
    }
  }

  // Of whole vectors of blocks, four to a block.
  EVENFLOW_INLINE static void make_normals(T* to, const std::uint32_t* words, int blocks) {
    alignas(64) std::int32_t s[4 * tile_blocks], tail[4 * tile_blocks];
    for (int i = 0; i < 4 * blocks; ++i) {
      s[i] = static_cast<std::int32_t>(words[i]);
      tail[i] = word_tail(s[i]);
    }
    for (int i = 0; i < 4 * blocks; i += V::lanes)
      normal_of_word(V::from_integers(s + i), V::from_integers(tail + i)).store(to + i);
  }

  static void forward(T* y, const T* x, int rows, int width, const Draw& draw, const double* parameters) {
    const Noise noise(parameters);
    each(rows, width, draw, [&](std::ptrdiff_t at, Random r) { noise.value(V::load(x + at), r).store(y + at); });
  }

  static void backward(T* dy, const T* y, int rows, int width, const Draw& draw, const double* parameters) {
    if constexpr (!std::is_same_v<Noise, GaussianNoise>) {  // whose gradient is dy
      const Noise noise(parameters);
      each(rows, width, draw, [&](std::ptrdiff_t at, Random r) {
        V output(0);
        if constexpr (Noise::reads_output) output = V::load(y + at);
        noise.gradient(V::load(dy + at), output, r).store(dy + at);
      });
    }
  }

  static void backward_as_shown(T* dy, const T* y, int rows, int width, const double* parameters) {
    if constexpr (Noise::shows_draw) {
      const Noise noise(parameters);
      for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(rows) * width; i += V::lanes)
        noise.gradient(V::load(dy + i), V::load(y + i)).store(dy + i);
    }
  }
};

template <class V, class Noise>
constexpr NoiseKernel<scalar_of<V>> noise_kernel() {
  NoiseKernel<scalar_of<V>> kernel{};
  kernel.name = Noise::name;
  for (const Parameter& parameter : Noise::parameters) kernel.parameters[kernel.parameter_count++] = parameter;
  kernel.keeps_zero = Noise::keeps_zero;
  kernel.idle_at_zero = Noise::idle_at_zero;
  kernel.shares_numbers = Noise::template Random<V>::bits == 16;
  kernel.forward = NoiseColumns<V, Noise>::forward;
  kernel.backward = NoiseColumns<V, Noise>::backward;
  kernel.backward_as_shown = Noise::shows_draw ? NoiseColumns<V, Noise>::backward_as_shown : nullptr;
  return kernel;
}

template <class V, class Types>
struct NoiseTable;
template <class V, class... Types>
struct NoiseTable<V, List<Types...>> {
  static constexpr NoiseKernel<scalar_of<V>> rows[] = {noise_kernel<V, Types>()...};
};

}  // namespace evenflow
