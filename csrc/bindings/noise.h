// Names and hyper-parameters of random layers, checked.
#pragma once

#include "bindings/names.h"
#include "kernels/kernels.h"
#include "program/spec.h"

namespace evenflow {

inline std::uint64_t natural(const std::string& function, const std::string& argument, const py::object& given,
                             std::uint64_t highest) {
  const std::string expected = "a whole number from 0 to " + std::to_string(highest);
  if (!py::isinstance<py::int_>(given) || py::isinstance<py::bool_>(given))
    refuse_type(function, argument, expected, text(py::repr(given)));
  try {
    const auto value = given.cast<std::uint64_t>();
    if (value <= highest) return value;
  } catch (const py::cast_error&) {  // negative, or above 2^64
  }
  refuse(function, argument, expected, text(py::repr(given)));
}

// Rates are shares below 1; other parameters are at least 0, and in the order of the table.
inline Noise noise_of(const std::string& function, const std::string& name, const py::dict& given,
                      const py::object& seed) {
  const auto& k = kernels<float>();
  std::vector<std::string> names;
  for (int i = 0; i < k.noise_count; ++i) names.emplace_back(k.noises[i].name);
  Noise noise;
  noise.kind = static_cast<int>(index_of(function, "noise", name, names));
  const auto& known = k.noises[noise.kind];
  std::vector<std::string> own;
  for (int i = 0; i < known.parameter_count; ++i) {
    own.emplace_back(known.parameters[i].name);
    noise.parameters[i] = known.parameters[i].initial;
  }
  for (const auto& [key, value] : given) {
    const std::size_t at = index_of(function, "parameters", text(key), own);
    const double highest = own[at] == "rate" ? std::nextafter(1.0, 0.0) : 1e300;
    double number = -1;
    try {
      number = py::reinterpret_borrow<py::object>(value).cast<double>();
    } catch (const py::cast_error&) {
      refuse_type(function, own[at], "a number", text(py::repr(value)));
    }
    if (!(number >= 0 && number <= highest))
      refuse(function, own[at], own[at] == "rate" ? "0 or more, below 1" : "a finite number of at least 0",
             text(py::repr(value)));
    noise.parameters[at] = number;
  }
  if (known.parameter_count == 2 && noise.parameters[0] > noise.parameters[1])
    refuse(function, own[0], "at most " + own[1] + ", which is " + std::to_string(noise.parameters[1]),
           std::to_string(noise.parameters[0]));
  noise.seed = natural(function, "seed", seed, ~std::uint64_t{0});
  return noise;
}

// Whether elements may have the same random number.
inline bool shares_numbers(const Noise& noise) { return kernels<float>().noises[noise.kind].shares_numbers; }

// What Monte Carlo passes move, and their seed.
struct Passes {
  std::vector<double*> mean, squares;  // of each output
  std::uint64_t seed;
};
inline Passes passes_of(const std::vector<py::array>& mean, const std::vector<py::array>& squares,
                        const py::object& seed, std::int64_t first_row, std::int64_t first_pass, std::int64_t passes,
                        std::int64_t rows, const std::vector<int>& units) {
  const char* name = "predict_mc";
  Passes found{{}, {}, natural(name, "seed", seed, ~std::uint64_t{0})};
  for (std::size_t h = 0; h < units.size(); ++h) {
    for (const py::array& one : mean)
      if (overlap(one, squares[h])) refuse(name, "squares", "memory of its own", "memory shared with 'mean'");
    found.mean.push_back(dense<double>(name, "mean", mean[h], {rows, units[h]}, true));
    found.squares.push_back(dense<double>(name, "squares", squares[h], {rows, units[h]}, true));
  }
  constexpr std::int64_t most = std::int64_t{1} << 32;
  if (first_row < 0 || rows > most || first_row > most - rows)
    refuse(name, "first_row", "0 or more, with at most 2^32 rows in all", std::to_string(first_row));
  if (first_pass < 0 || passes < 1 || passes > most || first_pass > most - passes)
    refuse(name, "passes", "at least 1 pass, at most 2^32 in all", std::to_string(passes));
  return found;
}

}  // namespace evenflow
