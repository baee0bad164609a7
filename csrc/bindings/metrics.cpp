// Metrics of arrays: the rows of a program's loss phase without its network.
#include "bindings/eager.h"
#include "bindings/spec.h"

namespace evenflow {

namespace {

py::array metric_sums(const py::object& metric, const py::object& prediction_, const py::object& target_,
                      const py::object& weights_) {
  const char* name = "metric_sums";
  const py::array prediction = array(name, "prediction", prediction_, 2), target = array(name, "target", target_, -1);
  const py::object shares = weights_.is_none() ? py::object() : array(name, "weights", weights_, 1);
  return by_type(name, "prediction", prediction, [&](auto type) -> py::array {
    using T = decltype(type);
    const int rows = rows_of(prediction), units = columns_of(prediction);
    const T* p = dense<T>(name, "prediction", prediction, {rows, units});
    if (units == 0) refuse(name, "prediction", "at least one column", "shape " + shape_text(prediction));
    const MetricSpec spec = SpecReader::metric(name, metric, units);
    const Targets targets = spec.traits().targets;
    const int columns = units / spec.settings.blocks;
    const bool sparse = targets == Targets::labels || (targets == Targets::either && target.ndim() == 1);
    const Feed feed = feed_of(name, "target", target, sparse ? 1 : columns, sparse);
    if (feed.rows != rows)
      refuse(name, "target", std::to_string(rows) + " rows, as prediction has", "shape " + shape_text(target));
    const double* weights =
        shares ? dense<double>(name, "weights", py::reinterpret_borrow<py::array>(shares), {rows}) : nullptr;
    py::array state = made<double>({spec.size(units)});
    double* sums = data_of<double>(state);
    std::fill_n(sums, spec.size(units), 0.0);
    std::vector<std::int64_t> labels(static_cast<std::size_t>(sparse ? rows : 0));
    for (int row = 0; sparse && row < rows; ++row) {
      std::int64_t& label = labels[static_cast<std::size_t>(row)];
      convert_row(&label, feed, feed.row(row), 0, 1);
      if (label < 0 || label >= units)
        refuse(name, "target", "labels from 0 to " + std::to_string(units - 1),
               std::to_string(label) + " in row " + std::to_string(row));
    }
    const py::gil_scoped_release nogil;
    const auto& k = kernels<T>();
    const auto padded = static_cast<std::size_t>(k.layout.padded(units));
    // A block of outputs may begin anywhere, and is read in whole vectors.
    std::vector<T> own_p(2 * padded), own_t(padded);
    std::vector<double> records(static_cast<std::size_t>(spec.width(units) * rows));
    const Metric settings = spec.settings_for(units);
    for (int row = 0; row < rows; ++row) {
      const std::int64_t label = sparse ? labels[static_cast<std::size_t>(row)] : 0;
      std::copy_n(p + static_cast<std::ptrdiff_t>(row) * units, units, own_p.begin());
      if (sparse) {
        std::fill(own_t.begin(), own_t.end(), T(0));
        own_t[static_cast<std::size_t>(label)] = 1;
      } else {
        convert_row(own_t.data(), feed, feed.row(row), 0, columns);
      }
      k.metrics[spec.kind](settings, {own_p.data(), own_t.data(), label}, records.data() + row, rows);
    }
    add_records(spec.traits(), settings, sums, records.data(), rows, rows, weights);
    return state;
  });
}

}  // namespace

void bind_metrics(py::module_& m) {
  m.def("metric_sums", &metric_sums, py::arg("metric"), py::arg("prediction"), py::arg("target"),
        py::arg("weights") = py::none());
}

}  // namespace evenflow
