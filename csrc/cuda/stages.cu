// Stages of a step: a block owns a panel of features for all rows, from the product to the last segment.
#include "cuda/columns.cuh"
#include "cuda/launch.h"
#include "cuda/product.cuh"

namespace evenflow::cuda {

namespace {

template <class T, bool a_transposed, bool b_transposed>
__global__ void __launch_bounds__(product_threads) product_kernel(Product<T> p) {
  __shared__ __align__(4 * sizeof(T)) T shared[product_shared<T>];
  product_tile<T, a_transposed, b_transposed>(p, static_cast<int>(blockIdx.y) * block_rows,
                                              static_cast<int>(blockIdx.x) * panel_width, shared);
}

// The panel's product, all rows of it; its elements are then there for all threads of the block.
template <class T, bool transposed>
__device__ void fill_panel(const Product<T>& p, T* shared) {
  if (p.a == nullptr) return;
  for (int row = 0; row < p.m; row += block_rows)
    product_tile<T, false, transposed>(p, row, static_cast<int>(blockIdx.x) * panel_width, shared);
}

template <class T>
__global__ void __launch_bounds__(2 * product_threads)
    forward_kernel(const __grid_constant__ Columns<T> c, const Control* control) {
  __shared__ __align__(4 * sizeof(T)) T shared[product_shared<T>];
  fill_panel<T, false>(c.product, shared);
  const Own own(c.units);
  const std::uint64_t step = control->draw + static_cast<std::uint64_t>(control->current);
  for (int i = 0; i < c.count; ++i) forward_segment(c.segment(i), c, own, step, shared);
}

template <class T>
__global__ void __launch_bounds__(2 * product_threads)
    backward_kernel(const __grid_constant__ Columns<T> c, const Control* control) {
  __shared__ __align__(4 * sizeof(T)) T shared[product_shared<T>];
  fill_panel<T, true>(c.product, shared);
  const Own own(c.units);
  const std::uint64_t step = control->draw + static_cast<std::uint64_t>(control->current);
  for (int i = c.count; i-- > 0;) backward_segment(c.segment(i), c, own, step, shared);
}

unsigned blocks(int count, int size) { return static_cast<unsigned>((count + size - 1) / size); }

// Threads of a block: those of the product, or enough for a few rows each.
template <class T>
unsigned threads(const Columns<T>& c) {
  return c.product.a != nullptr || c.rows <= 128 ? product_threads : 2 * product_threads;
}

}  // namespace

template <class T>
void product(cudaStream_t stream, Form form, const Product<T>& p) {
  const dim3 grid(blocks(p.n, panel_width), blocks(p.m, block_rows));
  switch (form) {
    case Form::plain:
      product_kernel<T, false, false><<<grid, product_threads, 0, stream>>>(p);
      break;
    case Form::second_transposed:
      product_kernel<T, false, true><<<grid, product_threads, 0, stream>>>(p);
      break;
    case Form::first_transposed:
      product_kernel<T, true, false><<<grid, product_threads, 0, stream>>>(p);
      break;
  }
}

template <class T>
void forward_columns(cudaStream_t stream, const Columns<T>& c, const Control* control) {
  forward_kernel<<<blocks(c.units, panel_width), threads(c), 0, stream>>>(c, control);
}

template <class T>
void backward_columns(cudaStream_t stream, const Columns<T>& c, const Control* control) {
  backward_kernel<<<blocks(c.units, panel_width), threads(c), 0, stream>>>(c, control);
}

#define EVENFLOW_INSTANTIATE(T)                                                   \
  template void product(cudaStream_t, Form, const Product<T>&);                   \
  template void forward_columns(cudaStream_t, const Columns<T>&, const Control*); \
  template void backward_columns(cudaStream_t, const Columns<T>&, const Control*);
EVENFLOW_INSTANTIATE(float)
EVENFLOW_INSTANTIATE(double)

}  // namespace evenflow::cuda
