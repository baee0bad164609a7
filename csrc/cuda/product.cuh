// A tile of a matrix product by one block: parts of both operands arrive in shared memory some parts ahead of their
// use, each warp has its share of the inner dimension, and the sums of the warps are added in their order.
#pragma once

#include <cuda_pipeline_primitives.h>

#include "cuda/arguments.h"

namespace evenflow::cuda {

constexpr int product_threads = 256, product_warps = product_threads / warp, product_depth = 32;
constexpr int a_stride = block_rows + 4, b_stride = panel_width + 4;  // without bank conflicts, on whole vectors
constexpr int product_part = product_depth * (a_stride + b_stride);
template <class T>
constexpr int product_parts = sizeof(T) == 4 ? 4 : 2;  // that there is room for
template <class T>
constexpr int product_shared = product_parts<T> * product_part;
static_assert(product_warps * block_rows * panel_width <= product_shared<double>, "the sums take the parts' place");

template <class T>
struct alignas(4 * sizeof(T)) Four {
  T at[4];
};

// The tile of c that begins with that row and column; shared: product_shared elements on a boundary of Four.
template <class T, bool a_transposed, bool b_transposed>
__device__ void product_tile(const Product<T>& p, int first_row, int first_column, T* shared) {
  constexpr int a_loads = block_rows * product_depth / product_threads;
  static_assert(panel_width * product_depth == product_threads, "each thread brings one element of b");
  const int t = static_cast<int>(threadIdx.x);
  // Neighbouring threads read neighbours in memory, eight at least, and write to different banks.
  const auto bring = [&](int part) {
    T *const a = shared + part % product_parts<T> * product_part, *const b = a + product_depth * a_stride;
    const int from = part * product_depth;
#pragma unroll
    for (int i = 0; i < a_loads; ++i) {
      const int n = t + i * product_threads;
      const int row = a_transposed ? n % block_rows : n / 8 % block_rows;
      const int depth = a_transposed ? n / block_rows : n % 8 + n / (8 * block_rows) * 8;
      const std::ptrdiff_t m = first_row + row, k = from + depth;
      const bool within = m < p.m && k < p.k;
      const T* source = within ? p.a + (a_transposed ? k * p.a_stride + m : m * p.a_stride + k) : p.a;
      __pipeline_memcpy_async(a + depth * a_stride + row, source, sizeof(T), within ? 0 : sizeof(T));
    }
    const int column = b_transposed ? t / 8 % panel_width : t % panel_width;
    const int depth = b_transposed ? t % 8 + t / (8 * panel_width) * 8 : t / panel_width;
    const std::ptrdiff_t n = first_column + column, k = from + depth;
    const bool within = n < p.n && k < p.k;
    const T* source = within ? p.b + (b_transposed ? n * p.b_stride + k : k * p.b_stride + n) : p.b;
    __pipeline_memcpy_async(b + depth * b_stride + column, source, sizeof(T), within ? 0 : sizeof(T));
  };
  const int own = t / warp, row = t % 16 * 4, column = t % warp / 16 * 4;
  const int parts = (p.k + product_depth - 1) / product_depth;
  T sums[4][4] = {};
  for (int part = 0; part < product_parts<T> - 1; ++part) {
    if (part < parts) bring(part);
    __pipeline_commit();
  }
  for (int part = 0; part < parts; ++part) {
    __pipeline_wait_prior(product_parts<T> - 2);
    __syncthreads();
    if (part + product_parts<T> - 1 < parts) bring(part + product_parts<T> - 1);
    __pipeline_commit();
    const T *const a = shared + part % product_parts<T> * product_part, *const b = a + product_depth * a_stride;
#pragma unroll
    for (int d = 0; d < product_depth / product_warps; ++d) {
      const int depth = own * (product_depth / product_warps) + d;
      const Four<T> x = *reinterpret_cast<const Four<T>*>(a + depth * a_stride + row);
      const Four<T> y = *reinterpret_cast<const Four<T>*>(b + depth * b_stride + column);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fma(x.at[i], y.at[j], sums[i][j]);
    }
  }
  __pipeline_wait_prior(0);
  __syncthreads();
  constexpr int tile = block_rows * panel_width;
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) shared[own * tile + (row + i) * panel_width + column + j] = sums[i][j];
  __syncthreads();
  for (int i = t; i < tile; i += product_threads) {
    const int m = first_row + i / panel_width, n = first_column + i % panel_width;
    T sum = shared[i];
#pragma unroll
    for (int w = 1; w < product_warps; ++w) sum += shared[w * tile + i];
    if (m < p.m && n < p.n) p.c[static_cast<std::ptrdiff_t>(m) * p.c_stride + n] = sum;
  }
  __syncthreads();
}

}  // namespace evenflow::cuda
