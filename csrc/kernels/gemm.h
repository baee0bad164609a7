// The two micro-kernels and the transposition: everything that multiplies matrices.
#pragma once

#include "kernels/kernels.h"

namespace evenflow {

// A tile's accumulators stay in registers: rows x 2 vectors, beside two of b and one broadcast.
template <class V, int N>
constexpr int tile_rows = N == 2 && V::registers < 32 ? 6 : 12;

// c[R][N vectors] = a[R][depth] b[depth][N vectors]
template <class V, int R, int N>
__attribute__((noinline)) void product_tile(scalar_of<V>* c, const Factors<scalar_of<V>>& f, int row, int depth) {
  using T = scalar_of<V>;
  constexpr int full = 2 * V::lanes;
  constexpr int line = 64 / static_cast<int>(sizeof(T));
  const Layout layout{V::lanes};
  const T *a = f.a, *b = f.b;
  const std::ptrdiff_t b_pitch = f.b_pitch == 0 ? N * V::lanes : f.b_pitch;
  V sum[R][N];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[r][j] = V(0);
  for (int k = 0; k < depth; k += full, a += f.a_stride) {
    const int count = smaller(full, depth - k);
    const std::ptrdiff_t pitch = f.a_pitch == 0 ? smaller(full, layout.padded(depth) - k) : f.a_pitch;
    const T* x = a + row * pitch;
    if (f.a_pitch == 0 && k + full < depth) {  // the next panel's rows come from another cache or core
      const T* next = a + f.a_stride + static_cast<std::ptrdiff_t>(row) * full;
#pragma GCC unroll 24
      for (int q = 0; q < R * full; q += line) __builtin_prefetch(next + q, 0, 3);
    }
    for (int i = 0; i < count; ++i, b += b_pitch) {
      V column[N];
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) column[j] = V::load(b + j * V::lanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V value(x[r * pitch + i]);
#pragma GCC unroll 2
        for (int j = 0; j < N; ++j) sum[r][j] = fma(value, column[j], sum[r][j]);
      }
    }
  }
  c += static_cast<std::ptrdiff_t>(row) * N * V::lanes;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[r][j].store(c + (r * N + j) * V::lanes);
}

// dw[R][N vectors] = x[rows][R]^T dz[rows][N vectors]
template <class V, int R, int N>
__attribute__((noinline)) void gradient_tile(scalar_of<V>* dw, const scalar_of<V>* x, const scalar_of<V>* dz, int rows,
                                             int x_width) {
  V sum[R][N];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[r][j] = V(0);
  for (int row = 0; row < rows; ++row, x += x_width, dz += N * V::lanes) {
    V column[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) column[j] = V::load(dz + j * V::lanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V value(x[r]);
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) sum[r][j] = fma(value, column[j], sum[r][j]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[r][j].store(dw + (r * N + j) * V::lanes);
}

template <class V>
struct Gemm {
  using T = scalar_of<V>;
  using Product = void (*)(T*, const Factors<T>&, int, int);
  using Gradient = void (*)(T*, const T*, const T*, int, int);

  template <int N, int R>
  static Product product_of(int rows) {
    if (rows == R) return product_tile<V, R, N>;
    if constexpr (R > 1) return product_of<N, R - 1>(rows);
    return nullptr;
  }
  template <int N, int R>
  static Gradient gradient_of(int rows) {
    if (rows == R) return gradient_tile<V, R, N>;
    if constexpr (R > 1) return gradient_of<N, R - 1>(rows);
    return nullptr;
  }

  // Equal tiles of at most `most` rows: 32 = 11 + 11 + 10, not 12 + 12 + 8.
  template <class Tile>
  EVENFLOW_INLINE static void tiles(int rows, int most, Tile tile) {
    const int count = (rows + most - 1) / most;
    for (int t = 0, row = 0; t < count; ++t) {
      const int size = (rows - row + count - t - 1) / (count - t);
      tile(row, size);
      row += size;
    }
  }

  template <int N>
  EVENFLOW_INLINE static void product_panel(T* c, const Factors<T>& f, int first, int rows, int depth) {
    tiles(rows, tile_rows<V, N>,
          [&](int row, int size) { product_of<N, tile_rows<V, N>>(size)(c, f, first + row, depth); });
  }
  static void product(T* c, const Factors<T>& f, int first, int rows, int depth, int width) {
    if (width == 2 * V::lanes)
      product_panel<2>(c, f, first, rows, depth);
    else
      product_panel<1>(c, f, first, rows, depth);
  }

  template <int N>
  EVENFLOW_INLINE static void gradient_panel(T* dw, const T* x, const T* dz, int rows, int x_width, int count) {
    tiles(count, tile_rows<V, N>, [=](int first, int size) {
      gradient_of<N, tile_rows<V, N>>(size)(dw + first * N * V::lanes, x + first, dz, rows, x_width);
    });
  }
  static void weight_gradient(T* dw, const T* x, const T* dz, int rows, int x_width, int count, int width) {
    if (width == 2 * V::lanes)
      gradient_panel<2>(dw, x, dz, rows, x_width, count);
    else
      gradient_panel<1>(dw, x, dz, rows, x_width, count);
  }

  static void transpose(T* b, const T* w, int inputs, int outputs, int first, int width) {
    const Layout layout{V::lanes};
    for (int panel = 0; panel < layout.panels(outputs); ++panel) {
      const int above = layout.width(outputs, panel);
      const T* block = w + static_cast<std::ptrdiff_t>(panel) * layout.full() * inputs;
      for (int i = 0; i < width; i += V::lanes) {
        const int valid = smaller(V::lanes, inputs - first - i);
        for (int o = 0; o < above; o += V::lanes) {
          const T* from = block + static_cast<std::ptrdiff_t>(first + i) * above + o;
          T* to = b + static_cast<std::ptrdiff_t>(panel * layout.full() + o) * width + i;
          if (valid == V::lanes) {
            V::transpose(from, above, to, width);
            continue;
          }
          T edge[V::lanes * V::lanes];
          for (int r = 0; r < V::lanes; ++r)
            (r < valid ? V::load(from + static_cast<std::ptrdiff_t>(r) * above) : V(0)).store(edge + r * V::lanes);
          V::transpose(edge, V::lanes, to, width);
        }
      }
    }
  }
};

}  // namespace evenflow
