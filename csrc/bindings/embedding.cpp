// Eager kernels of embeddings, and the search for ids that are none.
#include "bindings/eager.h"
#include "bindings/names.h"

namespace evenflow {

namespace {

// Ids [rows, ids of a row] as they travel through a program.
template <class T>
struct Ids {
  const int rows, count, limit;
  std::vector<T> values;

  // Of a table that this argument of the function gives, or its rows.
  Ids(const char* function, const py::object& given, const char* table, py::ssize_t table_rows)
      : Ids(function, array(function, "ids", given, 2), table, table_rows) {}
  Embedded<T> part(int id, int columns, int first, int several) const {
    return {values.data() + id, count, rows, limit, columns, first, several};
  }

 private:
  Ids(const char* function, const py::array& ids, const char* table, py::ssize_t table_rows)
      : rows(rows_of(ids)), count(columns_of(ids)), limit(static_cast<int>(table_rows)) {
    if (sizeof(T) == 4 && limit > (1 << 24))
      refuse(function, table, "at most 2^24 rows in float32", std::to_string(table_rows));
    const Feed feed = feed_of(function, "ids", ids, count, false);
    const auto wrong = find_wrong_id(feed, limit);
    if (wrong.first >= 0) {
      double value = 0;
      convert_row(&value, feed, feed.row(wrong.first), wrong.second, 1);
      refuse(
          function, "ids", "whole numbers from 0 to " + std::to_string(limit - 1),
          number_text(value) + " in row " + std::to_string(wrong.first) + ", column " + std::to_string(wrong.second));
    }
    values.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(count));
    for (int row = 0; row < rows; ++row)
      convert_row(values.data() + static_cast<std::ptrdiff_t>(row) * count, feed, feed.row(row), 0, count);
  }
};

int features_of(const char* function, int ids, int columns) {
  const std::int64_t found = std::int64_t{ids} * columns;
  if (found > (1 << 30)) refuse(function, "ids", "at most 2^30 features", std::to_string(found));
  return static_cast<int>(found);
}

py::object embedding_forward(const py::object& ids_, const py::object& table_, const py::object& out) {
  const char* name = "embedding_forward";
  const py::array table = array(name, "table", table_, 2);
  return by_type(name, "table", table, [&](auto type) {
    using T = decltype(type);
    const auto& k = kernels<T>();
    const int columns = columns_of(table);
    const T* from = dense<T>(name, "table", table, {-1, columns});
    const Ids<T> ids(name, ids_, "table", table.shape(0));
    const int features = features_of(name, ids.count, columns);
    Outputs outputs(name, out, 1);
    T* to = outputs.add<T>({ids.rows, features}, {&table});
    {
      py::gil_scoped_release nogil;
      Tensor<T> panels(k, ids.rows, features);
      for (int p = 0; p < k.layout.panels(features); ++p) {
        const int begin = p * k.layout.full();
        each_part(begin, begin + panels.valid(p), columns, [&](int id, int first, int count, int lane) {
          k.embed(panels.panel(p) + lane, panels.width(p), from, ids.part(id, columns, first, count));
        });
      }
      panels.store(to);
    }
    return outputs.one();
  });
}

// dtable
py::object embedding_backward(const py::object& dy_, const py::object& ids_, std::int64_t rows, const py::object& out) {
  const char* name = "embedding_backward";
  const py::array dy = array(name, "dy", dy_, 2);
  if (rows < 1 || rows > (1 << 30)) refuse(name, "rows", "1 to 2^30", std::to_string(rows));
  return by_type(name, "dy", dy, [&](auto type) {
    using T = decltype(type);
    const auto& k = kernels<T>();
    const Ids<T> ids(name, ids_, "rows", rows);
    const int features = columns_of(dy);
    const T* from = dense<T>(name, "dy", dy, {ids.rows, features});
    if (ids.count == 0 || features % ids.count != 0)
      refuse(name, "dy", "as many columns for each of the " + std::to_string(ids.count) + " ids of a row",
             "shape " + shape_text(dy));
    const int columns = features / ids.count;
    Outputs outputs(name, out, 1);
    T* to = outputs.add<T>({static_cast<py::ssize_t>(rows), columns}, {&dy});
    {
      py::gil_scoped_release nogil;
      const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(rows) * columns;
      std::fill_n(to, size, T(0));
      const Tensor<T> panels(k, ids.rows, features, from);
      for (int p = 0; p < k.layout.panels(features); ++p) {
        const int begin = p * k.layout.full();
        each_part(begin, begin + panels.valid(p), columns, [&](int id, int first, int count, int lane) {
          k.embed_backward(to, 0, size, panels.panel(p) + lane, panels.width(p), ids.part(id, columns, first, count));
        });
      }
    }
    return outputs.one();
  });
}

// Row and column of the first value that is no whole number in [0, limit).
py::object wrong_id(const py::array& x, std::int64_t limit) {
  if (x.ndim() != 2) refuse("find_wrong_id", "x", "a 2-D array", "shape " + shape_text(x));
  if (limit < 1 || limit > (1 << 30)) refuse("find_wrong_id", "limit", "1 to 2^30", std::to_string(limit));
  if (x.shape(1) > (1 << 30)) refuse("find_wrong_id", "x", "at most 2^30 columns", "shape " + shape_text(x));
  const Feed feed = feed_of("find_wrong_id", "x", x, columns_of(x), false);
  std::pair<std::int64_t, int> wrong;
  {
    py::gil_scoped_release nogil;
    wrong = find_wrong_id(feed, static_cast<int>(limit));
  }
  if (wrong.first < 0) return py::none();
  return py::make_tuple(wrong.first, wrong.second);
}

}  // namespace

void bind_embedding(py::module_& m) {
  m.def("embedding_forward", &embedding_forward, py::arg("ids"), py::arg("table"), py::kw_only(),
        py::arg("out") = py::none());
  m.def("embedding_backward", &embedding_backward, py::arg("dy"), py::arg("ids"), py::arg("rows"), py::kw_only(),
        py::arg("out") = py::none());
  m.def("find_wrong_id", &wrong_id, py::arg("x"), py::arg("limit"));
}

}  // namespace evenflow
