// Penalties, norms and the update: one pass over the flat parameters, a slice of a variable for each block.
#include <cstring>

#include "cuda/columns.cuh"
#include "cuda/launch.h"
#include "kernels/update.h"

namespace evenflow::cuda {

namespace {

constexpr int update_threads = 256;

// Sums over a slice by all threads, in double.
template <class Term>
__device__ double slice_sum(const Slice& slice, double* shared, Term term) {
  double own = 0;
  for (int i = static_cast<int>(threadIdx.x); i < slice.count; i += update_threads) own += term(slice.offset + i);
  return block_sum(own, shared);
}

template <class T>
__global__ void penalize_kernel(Update<T> u, bool with_gradients) {
  __shared__ double shared[update_threads];
  const Slice slice = u.slices[u.first_slice + blockIdx.x];
  const Trained& v = u.variables[slice.variable];
  const Penalty penalty = v.penalty;
  const double found = slice_sum(slice, shared, [&](std::ptrdiff_t i) {
    const T p = u.parameters[i];
    if (with_gradients && !v.proximal) u.gradients[i] = penalty.template slope_added<true, true>(u.gradients[i], p);
    const double x = static_cast<double>(p);
    return penalty.l1 * abs(x) + penalty.l2 * x * x;
  });
  if (threadIdx.x == 0) u.penalties[u.first_slice + blockIdx.x] = found;
}

template <class T>
__global__ void square_kernel(Update<T> u) {
  __shared__ double shared[update_threads];
  const double found = slice_sum(u.slices[u.first_slice + blockIdx.x], shared, [&](std::ptrdiff_t i) {
    const double g = static_cast<double>(u.gradients[i]);
    return g * g;
  });
  if (threadIdx.x == 0) u.squares[u.first_slice + blockIdx.x] = found;
}

// The factor that the norm's limit puts on a variable's gradient: every block adds up the same sums in the same order.
template <class T>
__device__ double clipping(const Update<T>& u, const Trained& v, double* shared) {
  if (u.clip_norm == 0 && u.global_norm == 0) return 1;
  const bool global = u.global_norm != 0;
  Slice all;
  all.offset = global ? 0 : v.first_slice;
  all.count = global ? u.all : v.slices;
  const double squares = slice_sum(all, shared, [&](std::ptrdiff_t i) { return u.squares[i]; });
  return shrink(sqrt(squares), global ? u.global_norm : u.clip_norm);
}

template <class T, class Rule>
__global__ void update_kernel(Update<T> u, const Control* control, Rule) {
  using V = Vec<T, 1>;
  using Flat = FlatKernels<V>;
  __shared__ double shared[update_threads];
  const Slice slice = u.slices[u.first_slice + blockIdx.x];
  const Trained& v = u.variables[slice.variable];
  const Spent<Rule> spent = static_cast<const Spent<Rule>*>(control->spendings)[control->current * u.rates + v.rate];
  Clip clip;
  if (u.clip_value != 0) clip.limit = u.clip_value;
  clip.scale = clipping(u, v, shared);
  Average<T> average;
  average.values = u.average;
  average.keep = spent.keep;
  average.overwrites = spent.overwrites;
  const typename Flat::All around(clip, v.decays ? spent.decay : Decay{}, average);
  const auto load = [](const T* from) { return V(*from); };
  const auto store = [](V x, T* to) { *to = x.r; };
  const double threshold = spent.rate * v.penalty.l1;
  const SoftShrink shrinkage(&threshold);
  for (int n = static_cast<int>(threadIdx.x); n < slice.count; n += update_threads) {
    const std::ptrdiff_t i = slice.offset + n;
    if (!v.moves) {  // the variable keeps its bits
      store(around.after(load(u.parameters + i), load, store, i), u.parameters + i);
      continue;
    }
    Flat::apply(spent.rule, load, store, around, i, u.parameters, u.gradients, u.slots,
                std::make_index_sequence<Rule::slots>{});
    T p = u.parameters[i];
    if (v.proximal && threshold > 0) p = shrinkage.value(p);
    if (v.nonnegative) p = at_least(p, T(0));
    u.parameters[i] = p;
  }
}

// A block has as many columns as a panel; of a vector there is one column, and one block.
template <class T>
__global__ void norm_kernel(T* w, int rows, int columns, int stride, NormLimits limits) {
  __shared__ T shared[update_threads];
  const Own own(columns);
  T squares = 0;
  if (own.valid)
    for (int row = own.first_row; row < rows; row += own.row_step) {
      const T x = w[static_cast<std::ptrdiff_t>(row) * stride + own.feature];
      squares = fma(x, x, squares);
    }
  const T scale = limits.scale(sqrt(column_sum(squares, shared)));
  if (!own.valid || scale == T(1)) return;
  for (int row = own.first_row; row < rows; row += own.row_step)
    w[static_cast<std::ptrdiff_t>(row) * stride + own.feature] *= scale;
}

template <class Visit>
auto visit_rule(const AnyRule& any, Visit visit) {
  return std::visit(visit, any);
}

}  // namespace

std::size_t spent_size(const AnyRule& any) {
  return visit_rule(any, [](const auto& rule) { return sizeof(Spent<std::decay_t<decltype(rule)>>); });
}

void write_spent(void* to, const AnyRule& any, const Decay& decay, double rate, double keep, bool overwrites) {
  visit_rule(any, [&](const auto& rule) {
    const Spent<std::decay_t<decltype(rule)>> spent{rule, decay, rate, keep, overwrites};
    std::memcpy(to, &spent, sizeof spent);
  });
}

template <class T>
void penalize(cudaStream_t stream, const Update<T>& u, bool with_gradients) {
  penalize_kernel<<<static_cast<unsigned>(u.slice_count), update_threads, 0, stream>>>(u, with_gradients);
}
template <class T>
void square_sums(cudaStream_t stream, const Update<T>& u) {
  square_kernel<<<static_cast<unsigned>(u.slice_count), update_threads, 0, stream>>>(u);
}
template <class T>
void update(cudaStream_t stream, const AnyRule& kind, const Update<T>& u, const Control* control) {
  visit_rule(kind, [&](const auto& rule) {
    update_kernel<<<static_cast<unsigned>(u.slice_count), update_threads, 0, stream>>>(u, control, rule);
  });
}
template <class T>
void limit_norms(cudaStream_t stream, T* w, int inputs, int units, int stride, const NormLimits& limits) {
  const int rows = inputs == 0 ? units : inputs, columns = inputs == 0 ? 1 : units, step = inputs == 0 ? 1 : stride;
  const unsigned blocks = static_cast<unsigned>((columns + panel_width - 1) / panel_width);
  norm_kernel<<<blocks, update_threads, 0, stream>>>(w, rows, columns, step, limits);
}

#define EVENFLOW_INSTANTIATE(T)                                                         \
  template void penalize(cudaStream_t, const Update<T>&, bool);                         \
  template void square_sums(cudaStream_t, const Update<T>&);                            \
  template void update(cudaStream_t, const AnyRule&, const Update<T>&, const Control*); \
  template void limit_norms(cudaStream_t, T*, int, int, int, const NormLimits&);
EVENFLOW_INSTANTIATE(float)
EVENFLOW_INSTANTIATE(double)

}  // namespace evenflow::cuda
