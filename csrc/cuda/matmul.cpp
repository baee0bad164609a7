#include "cuda/matmul.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <mutex>

namespace evenflow::cuda {

namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

// The functions of the library that are used here.
struct Library {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) describe;
  decltype(&cublasLtMatmulDescDestroy) forget;
  decltype(&cublasLtMatmulDescSetAttribute) set;
  decltype(&cublasLtMatrixLayoutCreate) lay_out;
  decltype(&cublasLtMatrixLayoutDestroy) forget_layout;
  decltype(&cublasLtMatmulPreferenceCreate) prefer;
  decltype(&cublasLtMatmulPreferenceDestroy) forget_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) choose;
  bool complete = false;
};

std::mutex guard;
std::string path;
bool tried = false;
Library found;

const Library& library() {
  const std::lock_guard<std::mutex> lock(guard);
  if (tried) return found;
  tried = true;
  void* handle = nullptr;
  for (const std::string& name : {path, std::string("libcublasLt.so.13"), std::string("libcublasLt.so")})
    if (handle == nullptr && !name.empty()) handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return found;
  bool all = true;
  const auto load = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    all = all && function != nullptr;
  };
  load(found.create, "cublasLtCreate");
  load(found.destroy, "cublasLtDestroy");
  load(found.matmul, "cublasLtMatmul");
  load(found.describe, "cublasLtMatmulDescCreate");
  load(found.forget, "cublasLtMatmulDescDestroy");
  load(found.set, "cublasLtMatmulDescSetAttribute");
  load(found.lay_out, "cublasLtMatrixLayoutCreate");
  load(found.forget_layout, "cublasLtMatrixLayoutDestroy");
  load(found.prefer, "cublasLtMatmulPreferenceCreate");
  load(found.forget_preference, "cublasLtMatmulPreferenceDestroy");
  load(found.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  load(found.choose, "cublasLtMatmulAlgoGetHeuristic");
  found.complete = all;
  return found;
}

void check(cublasStatus_t status, const char* doing) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(std::string("Program: cuBLASLt failed while ") + doing + ": status " +
                             std::to_string(static_cast<int>(status)));
}

}  // namespace

void Matmul::library(const std::string& at) {
  const std::lock_guard<std::mutex> lock(guard);
  path = at;
}
bool Matmul::available() { return cuda::library().complete; }

Matmul::Matmul(bool tf32) : tf32_(tf32) {
  cublasLtHandle_t handle = nullptr;
  check(cuda::library().create(&handle), "starting");
  handle_ = handle;
  for (Buffer& workspace : workspaces_) workspace = Buffer(workspace_bytes);
}
Matmul::~Matmul() {
  if (handle_ != nullptr) cuda::library().destroy(static_cast<cublasLtHandle_t>(handle_));
}

// The library's matrices go column by column: to it, ours are transposed, and c' = b' a'.
template <class T>
void Matmul::run(cudaStream_t stream, int workspace, Form form, const Product<T>& p) {
  const Library& lt = cuda::library();
  const cudaDataType_t type = sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_64F;
  const cublasComputeType_t arithmetic = sizeof(T) == 8 ? CUBLAS_COMPUTE_64F
                                         : tf32_        ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                        : CUBLAS_COMPUTE_32F;
  const cublasOperation_t of_b = form == Form::second_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t of_a = form == Form::first_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  struct Described {
    const Library& lt;
    cublasLtMatmulDesc_t product = nullptr;
    cublasLtMatrixLayout_t b = nullptr, a = nullptr, c = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    ~Described() {
      if (preference != nullptr) lt.forget_preference(preference);
      for (cublasLtMatrixLayout_t layout : {b, a, c})
        if (layout != nullptr) lt.forget_layout(layout);
      if (product != nullptr) lt.forget(product);
    }
  } d{lt};
  check(lt.describe(&d.product, arithmetic, type), "describing a product");
  check(lt.set(d.product, CUBLASLT_MATMUL_DESC_TRANSA, &of_b, sizeof of_b), "describing a product");
  check(lt.set(d.product, CUBLASLT_MATMUL_DESC_TRANSB, &of_a, sizeof of_a), "describing a product");
  const auto lay_out = [&](cublasLtMatrixLayout_t& to, int rows, int columns, bool transposed, int stride) {
    if (transposed) std::swap(rows, columns);
    check(lt.lay_out(&to, type, static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows), stride),
          "describing a matrix");
  };
  lay_out(d.b, p.k, p.n, of_b == CUBLAS_OP_T, p.b_stride);
  lay_out(d.a, p.m, p.k, of_a == CUBLAS_OP_T, p.a_stride);
  lay_out(d.c, p.m, p.n, false, p.c_stride);
  check(lt.prefer(&d.preference), "choosing an algorithm");
  const std::size_t bytes = workspace_bytes;
  check(lt.set_preference(d.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes),
        "choosing an algorithm");
  cublasLtMatmulHeuristicResult_t chosen{};
  int count = 0;
  const auto handle = static_cast<cublasLtHandle_t>(handle_);
  check(lt.choose(handle, d.product, d.b, d.a, d.c, d.c, d.preference, 1, &chosen, &count), "choosing an algorithm");
  if (count == 0) throw std::runtime_error("Program: cuBLASLt has no algorithm for this product");
  const T one = 1, zero = 0;
  check(lt.matmul(handle, d.product, &one, p.b, d.b, p.a, d.a, &zero, p.c, d.c, p.c, d.c, &chosen.algo,
                  workspaces_[workspace].as(), bytes, stream),
        "multiplying");
}

void Matmul::operator()(cudaStream_t stream, int workspace, Form form, const Product<float>& p) {
  run(stream, workspace, form, p);
}
void Matmul::operator()(cudaStream_t stream, int workspace, Form form, const Product<double>& p) {
  run(stream, workspace, form, p);
}

}  // namespace evenflow::cuda
