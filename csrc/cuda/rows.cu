// Normalization of rows, a warp for each.
#include "cuda/launch.h"
#include "cuda/vector.cuh"
#include "kernels/row_normalization.h"

namespace evenflow::cuda {

namespace {

constexpr int rows_of_block = 4;

// The pointers of a row, so that it is row 0 of a panel as wide as all units.
template <class T>
__device__ bool own_row(Normalized<T>& n) {
  const int row = static_cast<int>(blockIdx.x) * rows_of_block + static_cast<int>(threadIdx.x) / warp;
  if (row >= n.rows) return false;
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * n.stride;
  n.x += at;
  n.y += at;
  n.inverses += row;
  n.dy += at;
  n.dx += at;
  n.scratch += 2 * at;
  return true;
}

template <class T>
__global__ void forward_kernel(Normalized<T> n) {
  if (own_row(n))
    RowNormalization<Vec<T, warp>>::forward(n.y, n.inverses, n.x, Layout{warp}.full(), n.units, n.epsilon, n.centered,
                                            n.scratch, 0, 1);
}
template <class T>
__global__ void backward_kernel(Normalized<T> n) {
  if (own_row(n))
    RowNormalization<Vec<T, warp>>::backward(n.dx, n.dy, n.y, n.inverses, Layout{warp}.full(), n.units, n.centered,
                                             n.scratch, 0, 1);
}

template <class T>
unsigned blocks(const Normalized<T>& n) {
  return static_cast<unsigned>((n.rows + rows_of_block - 1) / rows_of_block);
}

}  // namespace

template <class T>
void normalize_rows(cudaStream_t stream, const Normalized<T>& n) {
  forward_kernel<<<blocks(n), rows_of_block * warp, 0, stream>>>(n);
}
template <class T>
void normalize_rows_backward(cudaStream_t stream, const Normalized<T>& n) {
  backward_kernel<<<blocks(n), rows_of_block * warp, 0, stream>>>(n);
}
template void normalize_rows(cudaStream_t, const Normalized<float>&);
template void normalize_rows(cudaStream_t, const Normalized<double>&);
template void normalize_rows_backward(cudaStream_t, const Normalized<float>&);
template void normalize_rows_backward(cudaStream_t, const Normalized<double>&);

}  // namespace evenflow::cuda
