// Layers that make or read ids, which travel as whole numbers of the network's element type.
#include <cmath>

#include "program/builder.h"

namespace evenflow {

namespace {

constexpr int most_pieces = 64;  // of a table, for so many threads at most
constexpr std::ptrdiff_t largest = std::ptrdiff_t{1} << 30;

}  // namespace

int Plan::Builder::ids_read(std::size_t i, int most) {
  const std::vector<int> from = sources(i);
  const Stage& read = stage(from.empty() ? 0 : stage_of[static_cast<std::size_t>(from[0])]);
  const bool bare = read.segments.empty() && read.rescaling_layer.empty();
  if (bare && read.map == Map::gather) {
    Ids& input = plan.ids[static_cast<std::size_t>(read.input)];
    if (input.limit == 0 || most < input.limit) input = {most, layer(i).name};
    return most;
  }
  if (!bare || read.map != Map::discretization)
    refuse(i, "expected to read an input of whole numbers or a discretization, received what '" +
                  (from.empty() ? std::string() : layer(static_cast<std::size_t>(from[0])).name) + "' gives");
  const auto bins = static_cast<int>(layer(static_cast<std::size_t>(read.spec_layer)).boundaries.size()) + 1;
  if (bins > most)
    refuse(i, "expected at least the " + std::to_string(bins) + " different values that '" + read.layer +
                  "' gives, received " + std::to_string(most));
  return bins;
}

int Plan::Builder::features(std::size_t i, int ids) {
  const std::ptrdiff_t found = product(ids, layer(i).units);
  if (found > largest) refuse(i, "expected at most 2^30 features, received " + std::to_string(found));
  return static_cast<int>(found);
}

// In C order, in pieces of whole blocks that are shared out among threads; so many that a large table keeps all busy.
int Plan::Builder::table(const LayerSpec& l) {
  const std::ptrdiff_t full = plan.layout.full(), block = full * full;
  const std::ptrdiff_t size = product(l.input_dim, l.units), blocks = (size + block - 1) / block;
  const std::ptrdiff_t pieces = std::min<std::ptrdiff_t>(blocks, most_pieces);
  const std::ptrdiff_t inputs = blocks == 1 ? (size + full - 1) / full : full * ((blocks + pieces - 1) / pieces);
  if (inputs > largest) throw TooLarge("a table of " + std::to_string(size) + " numbers");
  const int found =
      variable(l, "/embeddings", static_cast<int>(inputs), static_cast<int>(full * pieces), l.trainable, 0);
  Variable& v = plan.variables[static_cast<std::size_t>(found)];
  if (v.is_table() && (v.rows != l.input_dim || v.columns != l.units))
    throw std::invalid_argument("Program: layer '" + l.name + "': shares: expected a table of the same shape");
  v.rows = l.input_dim;
  v.columns = l.units;
  v.dims = {v.rows, v.columns};
  return found;
}

int Plan::Builder::embedding(std::size_t i) {
  const LayerSpec& l = layer(i);
  ids_read(i, l.input_dim);
  const int number = start(Map::embedding, i);
  Stage& on = stage(number);
  on.units = features(i, on.inputs);
  on.spec_layer = static_cast<int>(i);
  on.trainable = l.trainable;
  on.kernel = table(l);
  open[static_cast<std::size_t>(number)] = false;
  return number;
}

int Plan::Builder::encoding(std::size_t i) {
  const LayerSpec& l = layer(i);
  ids_read(i, l.units + (l.masks ? 1 : 0));
  const int number = start(Map::category_encoding, i);
  Stage& on = stage(number);
  on.units = l.encoding == LayerSpec::one_hot ? features(i, on.inputs) : l.units;
  on.spec_layer = static_cast<int>(i);
  return number;
}

int Plan::Builder::discretization(std::size_t i) {
  const int number = start(Map::discretization, i);
  stage(number).spec_layer = static_cast<int>(i);
  return number;
}

}  // namespace evenflow
