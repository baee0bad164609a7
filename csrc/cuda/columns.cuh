// The segments of a stage for the panel of features that a block owns, for all rows: threads of a block share the rows
// of each feature, in the same way in every segment, so that only sums over rows need a meeting.
#pragma once

#include "cuda/elements.cuh"

namespace evenflow::cuda {

// What a thread has of a panel.
struct Own {
  int feature, first_row, row_step;
  bool valid;

  __device__ explicit Own(int units)
      : feature(static_cast<int>(blockIdx.x) * panel_width + static_cast<int>(threadIdx.x) % panel_width),
        first_row(static_cast<int>(threadIdx.x) / panel_width),
        row_step(static_cast<int>(blockDim.x) / panel_width),
        valid(feature < units) {}
};

// Sums over the threads that have the same feature: within a warp first, then warp after warp.
template <class T, int count>
__device__ void column_sums(T (&values)[count], T* shared) {
  const int t = static_cast<int>(threadIdx.x), warps = static_cast<int>(blockDim.x) / warp;
  for (int distance = panel_width; distance < warp; distance *= 2)
    for (T& value : values) value += __shfl_xor_sync(0xffffffffu, value, distance);
  __syncthreads();
  if (t % warp < panel_width)
    for (int i = 0; i < count; ++i) shared[(i * warps + t / warp) * panel_width + t % warp] = values[i];
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    values[i] = 0;
    for (int w = 0; w < warps; ++w) values[i] += shared[(i * warps + w) * panel_width + t % panel_width];
  }
}
template <class T>
__device__ T column_sum(T value, T* shared) {
  T values[1] = {value};
  column_sums(values, shared);
  return values[0];
}

// The sum over all threads of the block.
template <class T>
__device__ T block_sum(T value, T* shared) {
  const int t = static_cast<int>(threadIdx.x);
  __syncthreads();
  shared[t] = value;
  __syncthreads();
  for (int half = static_cast<int>(blockDim.x) / 2; half > 0; half /= 2) {
    if (t < half) shared[t] += shared[t + half];
    __syncthreads();
  }
  return shared[0];
}

template <class T>
struct Affinity {
  T mean = 0, inverse = 1, scale = 1, shift = 0;
};

// What a segment does to a feature, with the batch's moments where those are wanted; they move the averages.
template <class T>
__device__ Affinity<T> enter(const Segment<T>& s, const Columns<T>& c, const Own& own, T* shared) {
  Affinity<T> a;
  const int f = own.feature;
  if (own.valid && s.shift != nullptr) a.shift = s.shift[f];
  if (s.form != Affine::normalize) return a;
  if (s.moments == Moments::applied) {
    if (own.valid && s.scale != nullptr) a.scale = s.scale[f];
    return a;
  }
  T variance = 1;
  if (s.moments == Moments::batch && c.training) {
    const auto mean_of = [&](auto term) {
      T sum = 0;
      if (own.valid)
        for (int row = own.first_row; row < c.rows; row += own.row_step)
          sum += term(s.in[static_cast<std::ptrdiff_t>(row) * c.stride + f]);
      return column_sum(sum, shared) / static_cast<T>(c.rows);
    };
    a.mean = mean_of([](T x) { return x; });
    variance = mean_of([&](T x) { return (x - a.mean) * (x - a.mean); });
    if (own.valid && own.first_row == 0) {
      const double count = c.rows;
      s.mean[f] = moving_average(s.mean[f], a.mean, s.momentum, 1 - s.momentum);
      s.variance[f] = moving_average(s.variance[f], variance, s.momentum,
                                     (1 - s.momentum) * (s.unbiased && count > 1 ? count / (count - 1) : 1));
    }
  } else if (own.valid) {
    if (s.mean != nullptr) a.mean = s.mean[f];
    variance = s.variance[f];
  }
  if (s.moments == Moments::given) {
    const T deviation = bounded_deviation(variance, 1e-7);  // Keras' bound
    a.inverse = T(1) / deviation;
    a.scale = s.invert ? deviation : a.inverse;
  } else {
    a.inverse = inverse_deviation(variance, s.epsilon);
    a.scale = own.valid && s.scale != nullptr ? s.scale[f] * a.inverse : a.inverse;
  }
  return a;
}

// The same as the forward pass found it.
template <class T>
__device__ Affinity<T> entered(const Segment<T>& s, const Columns<T>& c, const Own& own) {
  Affinity<T> a;
  if (!own.valid) return a;
  const T* kept = s.statistics + own.feature;
  if (s.form != Affine::none && s.shift != nullptr) a.shift = s.shift[own.feature];
  if (s.form == Affine::normalize) {
    a.mean = kept[0];
    a.inverse = kept[c.stride];
    a.scale = kept[2 * c.stride];
  }
  return a;
}

template <class T>
__device__ void forward_segment(const Segment<T>& s, const Columns<T>& c, const Own& own, std::uint64_t step,
                                T* shared) {
  T* y = c.training ? s.out : s.quiet;
  const bool random = s.noise >= 0 && c.training;
  if (s.noise >= 0 && !random && s.left_out) return;
  const Affinity<T> a = enter(s, c, own, shared);
  if (own.valid && own.first_row == 0 && s.form == Affine::normalize) {
    T* kept = s.statistics + own.feature;
    kept[0] = a.mean;
    kept[c.stride] = a.inverse;
    kept[2 * c.stride] = a.scale;
  }
  const T learned = own.valid && s.learned != nullptr ? s.learned[own.feature] : T(0);
  T magnitudes = 0, squares = 0;
  if (own.valid)
    for (int row = own.first_row; row < c.rows; row += own.row_step) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * c.stride + own.feature;
      T x = s.in[at];
      if (random) {
        x = noise_value(s, step, row, own.feature, x);
      } else {
        if (s.form == Affine::bias) x += a.shift;
        if (s.form == Affine::normalize) x = normalized(x, a.mean, a.scale, a.shift);
        if (s.learned != nullptr)
          x = learned_value(s.activation, learned, x);
        else if (s.activation != 0)
          x = activation_value(s.activation, s.parameters, x);
      }
      y[at] = x;
      magnitudes += abs(x);
      squares = fma(x, x, squares);
    }
  if (!s.activity.active()) return;
  const T magnitude = block_sum(magnitudes, shared), square = block_sum(squares, shared);
  if (threadIdx.x == 0)
    s.activity_sums[blockIdx.x] =
        s.activity.l1 * static_cast<double>(magnitude) + s.activity.l2 * static_cast<double>(square);
}

// The gradient of what comes out becomes that of what came in; those of the segment's vectors are sums over rows.
template <class T>
__device__ void backward_segment(const Segment<T>& s, const Columns<T>& c, const Own& own, std::uint64_t step,
                                 T* shared) {
  const bool random = s.noise >= 0;
  const Affinity<T> a = entered(s, c, own);
  const Penalty activity = s.activity.over(c.rows);
  const T learned = own.valid && s.learned != nullptr ? s.learned[own.feature] : T(0);
  T sum = 0, product = 0, of_learned = 0;
  if (own.valid)
    for (int row = own.first_row; row < c.rows; row += own.row_step) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * c.stride + own.feature;
      T g = c.dz[at];
      const T y = s.out[at];
      if (random) {
        c.dz[at] = noise_gradient(s, step, row, own.feature, g, y);
        continue;
      }
      if (s.activity.active()) g = activity.template slope_added<true, true>(g, y);
      T x = s.in[at], z = x;
      if (s.form == Affine::bias) z += a.shift;
      if (s.form == Affine::normalize) z = normalized(x, a.mean, a.scale, a.shift);
      if (s.learned != nullptr) {
        const Slopes<T> slopes = learned_slopes(s.activation, learned, z);
        of_learned = fma(g, slopes.in_parameter, of_learned);
        g *= slopes.in_x;
      } else if (s.activation != 0) {
        g *= activation_slope(s.activation, s.parameters, z, y);
      }
      sum += g;
      product = fma(g, (x - a.mean) * a.inverse, product);
      const bool constant = s.form == Affine::normalize && s.moments != Moments::batch;
      c.dz[at] = constant ? g * a.scale : g;
    }
  if (random) return;
  const bool writes = own.valid && own.first_row == 0;
  if (s.dlearned != nullptr) {
    of_learned = column_sum(of_learned, shared);
    if (writes) s.dlearned[own.feature] = of_learned;
  }
  const bool through = s.form == Affine::normalize && s.moments == Moments::batch;
  if (s.dshift != nullptr || s.dscale != nullptr || through) {
    T sums[2] = {sum, product};
    column_sums(sums, shared);
    sum = sums[0];
    product = sums[1];
  }
  if (writes && s.dshift != nullptr) s.dshift[own.feature] = sum;
  if (writes && s.dscale != nullptr) s.dscale[own.feature] = product;
  if (!through || !own.valid) return;
  const T count = static_cast<T>(c.rows), mean_dz = sum / count, mean_dz_x = product / count;
  for (int row = own.first_row; row < c.rows; row += own.row_step) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * c.stride + own.feature;
    const T x = (s.in[at] - a.mean) * a.inverse;
    c.dz[at] = gradient_through_moments(c.dz[at], x, a.scale, mean_dz, mean_dz_x);
  }
}

}  // namespace evenflow::cuda
