// Table of contents of evenflow._cuda: programs that run on a GPU, as evenflow._core has them for the processor.
#include "bindings/python_program.h"
#include "cuda/program.h"

namespace evenflow {

namespace {

using CudaProgram = PyProgramOf<cuda::Program>;

// What is missing for a program to run; nothing where it can.
py::object missing() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess && count > 0) return py::none();
  cudaGetLastError();
  return py::str(result == cudaSuccess ? "no GPU" : cudaGetErrorString(result));
}

py::dict info() {
  py::dict all;
  cudaDeviceProp device{};
  int driver = 0, runtime = 0;
  cuda::check(cudaGetDeviceProperties(&device, 0), "looking at it");
  cuda::check(cudaDriverGetVersion(&driver), "looking at it");
  cuda::check(cudaRuntimeGetVersion(&runtime), "looking at it");
  all["name"] = device.name;
  all["capability"] = py::make_tuple(device.major, device.minor);
  all["memory"] = device.totalGlobalMem;
  all["multiprocessors"] = device.multiProcessorCount;
  all["driver"] = driver;
  all["runtime"] = runtime;
  all["cublaslt"] = cuda::Matmul::available();
  return all;
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "Programs of evenflow that run on a GPU.";
  m.attr("__version__") = EVENFLOW_VERSION;
  py::module_::import("evenflow._core");  // Progress and Health are its own
  m.def("missing", &missing, "What is missing for a program to run here; None: nothing.");
  m.def("info", &info, "The GPU, its driver and the runtime.");
  m.def("use_library", &cuda::Matmul::library, py::arg("path"),
        "Where cuBLASLt lies; to be said before the first program.");
  m.def(
      "set_options",
      [](bool tf32, bool library) {
        cuda::settings().tf32 = tf32;
        cuda::settings().library = library;
      },
      py::kw_only(), py::arg("tf32"), py::arg("library"), "For programs made from now on.");
  const double forever = std::numeric_limits<double>::infinity();
  py::class_<CudaProgram> program(m, "Program", R"(A network compiled into a plan over the memory of a GPU.

Arguments, methods and errors are those of `_core.Program`; what the device cannot do is refused by name.)");
  program
      .def(py::init<const py::object&, const std::string&, std::int64_t, int, bool>(), py::arg("spec"), py::kw_only(),
           py::arg("dtype") = "float32", py::arg("batch_size") = 32, py::arg("threads") = 0, py::arg("fusion") = true)
      .def_property_readonly("spec", &CudaProgram::spec)
      .def_property_readonly("dtype", &CudaProgram::dtype)
      .def_property_readonly("isa", &CudaProgram::isa)
      .def_property_readonly("batch_size", &CudaProgram::capacity)
      .def_property_readonly("inputs", &CudaProgram::inputs)
      .def_property_readonly("outputs", &CudaProgram::outputs)
      .def_property("threads", &CudaProgram::threads, &CudaProgram::set_threads)
      .def_property("iterations", &CudaProgram::iterations, &CudaProgram::set_iterations)
      .def_property("momentum_product", &CudaProgram::momentum_product, &CudaProgram::set_momentum_product)
      .def("__str__", &CudaProgram::print)
      .def("plan", &CudaProgram::steps)
      .def("variables", &CudaProgram::variables)
      .def("get", &CudaProgram::get, py::arg("name"))
      .def("set", &CudaProgram::set, py::arg("name"), py::arg("value"))
      .def("gradient", &CudaProgram::gradient, py::arg("name"))
      .def("slot_names", &CudaProgram::slot_names)
      .def("get_slot", &CudaProgram::get_slot, py::arg("slot"), py::arg("name"))
      .def("set_slot", &CudaProgram::set_slot, py::arg("slot"), py::arg("name"), py::arg("value"))
      .def("reset_slots", &CudaProgram::reset_slots)
      .def("forget_data", &CudaProgram::forget_data, "Data sets are copied again when they are next met.")
      .def("train", &CudaProgram::train, py::arg("x"), py::arg("y"), py::kw_only(), py::arg("learning_rate"),
           py::arg("momentum") = py::none(), py::arg("order") = py::none(), py::arg("batch_size") = 0,
           py::arg("first_step") = 0, py::arg("seconds") = forever, py::arg("max_steps") = 0,
           py::arg("after") = py::none(), py::arg("gradient_norms") = py::none(), py::arg("sample_weight") = py::none(),
           py::arg("class_weight") = py::none(), py::arg("health") = nullptr)
      .def("evaluate", &CudaProgram::evaluate, py::arg("x"), py::arg("y"), py::kw_only(), py::arg("batch_size") = 0,
           py::arg("first_step") = 0, py::arg("seconds") = forever, py::arg("max_steps") = 0,
           py::arg("after") = py::none(), py::arg("sample_weight") = py::none())
      .def("predict", &CudaProgram::predict, py::arg("x"), py::arg("out") = py::none());
  for (const char* name : {"forward", "backward", "update", "predict_mc", "penalty", "predictions", "set_gradient"})
    program.def(name, [name](const CudaProgram&, const py::args&, const py::kwargs&) {
      refuse(name, "self", "a program on the CPU", "one on the device 'cuda'");
    });
}

}  // namespace evenflow
