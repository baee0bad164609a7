// A tile of a matrix product by one block: operands pass through shared memory, four groups of threads share the inner
// dimension of each part, and their sums are added in their order.
#pragma once

#include "cuda/arguments.h"

namespace evenflow::cuda {

constexpr int product_threads = 256, product_groups = 4, product_depth = 32;
constexpr int product_a = product_depth * (block_rows + 1), product_b = product_depth * (panel_width + 1);
constexpr int product_sums = product_groups * block_rows * panel_width;
constexpr int product_shared = product_a + product_b > product_sums ? product_a + product_b : product_sums;

// The tile of c that begins with that row and column; shared: product_shared elements.
template <class T, bool a_transposed, bool b_transposed>
__device__ void product_tile(const Product<T>& p, int first_row, int first_column, T* shared) {
  constexpr int a_loads = block_rows * product_depth / product_threads;
  constexpr int b_loads = panel_width * product_depth / product_threads;
  T *const a = shared, *const b = shared + product_a;
  const int t = static_cast<int>(threadIdx.x);
  const auto place_a = [&](int i, int& row, int& depth) {  // neighbours in memory for neighbouring threads
    const int n = t + i * product_threads;
    row = a_transposed ? n % block_rows : n / product_depth;
    depth = a_transposed ? n / block_rows : n % product_depth;
  };
  const auto place_b = [&](int i, int& column, int& depth) {
    const int n = t + i * product_threads;
    column = b_transposed ? n / product_depth : n % panel_width;
    depth = b_transposed ? n % product_depth : n / panel_width;
  };
  T next_a[a_loads], next_b[b_loads];
  const auto fetch = [&](int from) {
#pragma unroll
    for (int i = 0; i < a_loads; ++i) {
      int row, depth;
      place_a(i, row, depth);
      const std::ptrdiff_t m = first_row + row, k = from + depth;
      next_a[i] = m < p.m && k < p.k ? p.a[a_transposed ? k * p.a_stride + m : m * p.a_stride + k] : T(0);
    }
#pragma unroll
    for (int i = 0; i < b_loads; ++i) {
      int column, depth;
      place_b(i, column, depth);
      const std::ptrdiff_t n = first_column + column, k = from + depth;
      next_b[i] = n < p.n && k < p.k ? p.b[b_transposed ? n * p.b_stride + k : k * p.b_stride + n] : T(0);
    }
  };
  const int group = t / 64, row = t % 16, column = t % 64 / 16;
  T sums[4][4] = {};
  fetch(0);
  for (int from = 0; from < p.k; from += product_depth) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < a_loads; ++i) {
      int own, depth;
      place_a(i, own, depth);
      a[depth * (block_rows + 1) + own] = next_a[i];
    }
#pragma unroll
    for (int i = 0; i < b_loads; ++i) {
      int own, depth;
      place_b(i, own, depth);
      b[depth * (panel_width + 1) + own] = next_b[i];
    }
    __syncthreads();
    if (from + product_depth < p.k) fetch(from + product_depth);
#pragma unroll
    for (int d = 0; d < product_depth / product_groups; ++d) {
      const int depth = group * (product_depth / product_groups) + d;
      T x[4], y[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = a[depth * (block_rows + 1) + row + 16 * i];
#pragma unroll
      for (int j = 0; j < 4; ++j) y[j] = b[depth * (panel_width + 1) + column + 4 * j];
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fma(x[i], y[j], sums[i][j]);
    }
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      shared[(group * block_rows + row + 16 * i) * panel_width + column + 4 * j] = sums[i][j];
  __syncthreads();
  constexpr int tile = block_rows * panel_width;
  for (int i = t; i < tile; i += product_threads) {
    const int m = first_row + i / panel_width, n = first_column + i % panel_width;
    if (m < p.m && n < p.n)
      p.c[static_cast<std::ptrdiff_t>(m) * p.c_stride + n] =
          ((shared[i] + shared[tile + i]) + shared[2 * tile + i]) + shared[3 * tile + i];
  }
  __syncthreads();
}

}  // namespace evenflow::cuda
