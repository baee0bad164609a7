// Random numbers without a state: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"),
// a bijection of 128-bit counters for each 64-bit key that passes TestU01's BigCrush, and normal numbers from its
// words.
#pragma once

#include "math/functions.h"

namespace evenflow {

// Four words from the counter in `c`, in place, over N: natural numbers of 64 bits of which the lower 32 count.
template <class N>
HD void philox4x32(N (&c)[4], std::uint64_t key) {
  constexpr std::uint32_t weyl[2] = {0x9E3779B9u, 0xBB67AE85u};
  auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const N first = multiply_words(c[0], N(std::uint64_t{0xD2511F53u}));
    const N second = multiply_words(c[2], N(std::uint64_t{0xCD9E8D57u}));
    c[0] = upper_word(second) ^ c[1] ^ N(std::uint64_t{low});
    c[1] = second;
    c[2] = upper_word(first) ^ c[3] ^ N(std::uint64_t{high});
    c[3] = first;
    low += weyl[0];
    high += weyl[1];
  }
}

// The words of a counter are the block of features, the row, and the step with the layer above its 48 bits.
struct Counter {
  std::uint32_t block, row, step_low, step_high_and_layer;

  static constexpr std::uint64_t steps = std::uint64_t{1} << 48;
  static constexpr std::uint32_t layers = 1u << 16;
};
HD Counter counter_of(std::uint64_t step, std::uint32_t layer, std::uint32_t row, std::uint32_t block) {
  return {block, row, static_cast<std::uint32_t>(step),
          static_cast<std::uint32_t>((step & (Counter::steps - 1)) >> 32) | layer << 16};
}

// How far the 32-bit word s, read as a signed number, is from the end of its half: the same for s and -1 - s.
HD std::int32_t word_tail(std::int32_t s) { return (s ^ (s >> 31)) ^ std::int32_t{0x7fffffff}; }

// The normal number x with P(X <= x) = 1/2 + (s + 1/2) / 2^32, for a word s and its tail; |x| <= 6.34. Wichura 1988,
// algorithm AS 241, in float with the coefficients for seven digits. Error: 8 ULP.
template <class V>
HD V normal_of_word(V s, V tail) {
  constexpr double unit = 1.0 / 4294967296.0;
  const V q = (s + V(0.5)) * V(unit);
  const V r = fma(-q, q, V(0.180625));
  const V far = sqrt(-log((tail + V(0.5)) * V(unit)));
  V central, outer;
  if constexpr (is_float<V>) {
    central = polynomial(r, 3.3871327179, 50.434271938, 159.29113202, 59.109374720) /
              polynomial(r, 1.0, 17.895169469, 78.757757664, 67.187563600);
    const V t = far - V(1.6);
    outer = polynomial(t, 1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103) /
            polynomial(t, 1.0, 0.73700164250, 0.12021132975);
  } else {
    central = polynomial(r, 3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
                         45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727) /
              polynomial(r, 1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
                         21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610);
    const V t = far - V(1.6);
    outer = polynomial(t, 1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
                       3.64784832476320460504, 1.27045825245236838258, 0.241780725177450611770,
                       0.0227238449892691845833, 0.000774545014278341407640) /
            polynomial(t, 1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
                       0.148103976427480074590, 0.0151986665636164571966, 0.000547593808499534494600,
                       1.05075007164441684324e-09);
  }
  return select(abs(q) <= V(0.425), q * central, copysign(outer, q));
}

}  // namespace evenflow
