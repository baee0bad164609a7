// A call of XLA as a handler sees it: buffers in order, attributes by name, and refusals, which XLA reports to the
// user. XLA calls from threads of its own, without the GIL: nothing here touches an object of Python.
#pragma once

#include <atomic>
#include <cfenv>
#include <exception>
#include <initializer_list>
#include <new>
#include <string>

#include "bindings/names.h"
#include "bindings/xla_abi.h"
#include "program/team.h"

namespace evenflow {

template <class T>
constexpr xla::DataType xla_type = xla::DataType::f32;
template <>
constexpr xla::DataType xla_type<double> = xla::DataType::f64;
template <>
constexpr xla::DataType xla_type<std::int32_t> = xla::DataType::s32;
template <>
constexpr xla::DataType xla_type<std::uint32_t> = xla::DataType::u32;

class XlaCall {
 public:
  XlaCall(const char* function, const xla::CallFrame& frame) : name(function), frame_(frame) {}

  const char* const name;

  std::size_t arguments() const { return static_cast<std::size_t>(frame_.arguments.size); }
  std::size_t results() const { return static_cast<std::size_t>(frame_.results.size); }
  const xla::Buffer& argument(std::size_t i) const { return at(frame_.arguments, "arguments", i); }
  const xla::Buffer& result(std::size_t i) const { return at(frame_.results, "results", i); }
  int size(std::size_t of_argument, int axis) const {
    const xla::Buffer& buffer = argument(of_argument);
    const std::int64_t n = axis < buffer.rank ? buffer.dims[axis] : -1;
    if (n < 0 || n > (1 << 30)) refuse(name, "arguments", "sizes of at most 2^30", std::to_string(n));
    return static_cast<int>(n);
  }

  // The next argument, or result, which has this type and shape.
  template <class T>
  const T* read(std::initializer_list<int> shape) {
    return static_cast<const T*>(checked<T>("arguments", argument(argument_++), shape));
  }
  template <class T>
  T* write(std::initializer_list<int> shape) {
    return static_cast<T*>(checked<T>("results", result(result_++), shape));
  }

  double number(const char* attribute) const {
    const auto& scalar = *static_cast<const xla::Scalar*>(value(attribute, xla::AttributeType::scalar));
    if (scalar.dtype == xla::DataType::pred) return *static_cast<const bool*>(scalar.value) ? 1 : 0;
    if (scalar.dtype != xla::DataType::f64) refuse(name, attribute, "a float64 or a bool", "another type");
    return *static_cast<const double*>(scalar.value);
  }
  bool flag(const char* attribute) const { return number(attribute) != 0; }
  std::string text(const char* attribute) const {
    const auto& found = *static_cast<const xla::Text*>(value(attribute, xla::AttributeType::string));
    return {found.data, found.size};
  }

 private:
  const xla::Buffer& at(const xla::Buffers& all, const char* which, std::size_t i) const {
    if (i >= static_cast<std::size_t>(all.size))
      refuse(name, which, "at least " + std::to_string(i + 1), std::to_string(all.size));
    const auto& buffer = *static_cast<const xla::Buffer*>(all.values[i]);
    if (all.types[i] != xla::BufferType::buffer || buffer.struct_size != xla::buffer_size)
      refuse(name, which, "buffers as versions 0.1 to 0.3 of XLA's interface have them", "others");
    return buffer;
  }
  template <class T>
  void* checked(const char* which, const xla::Buffer& buffer, std::initializer_list<int> shape) const {
    bool fits = buffer.dtype == xla_type<T> && buffer.rank == static_cast<std::int64_t>(shape.size());
    for (std::size_t i = 0; i < shape.size() && fits; ++i) fits = buffer.dims[i] == shape.begin()[i];
    if (!fits) refuse(name, which, "the shapes and types that evenflow.jax gives", "others");
    return buffer.data;
  }
  const void* value(const char* attribute, xla::AttributeType type) const {
    const xla::Attributes& all = frame_.attributes;
    for (std::int64_t i = 0; i < all.size; ++i)
      if (all.types[i] == type && std::string(all.names[i]->data, all.names[i]->size) == attribute)
        return all.values[i];
    refuse(name, attribute, "an attribute of this name", "none");
  }

  const xla::CallFrame& frame_;
  std::size_t argument_ = 0, result_ = 0;
};

// f(T{}) for the element type of the first argument.
template <class F>
void by_type(const XlaCall& call, F f) {
  const xla::DataType type = call.argument(0).dtype;
  if (type == xla::DataType::f32) return f(float{});
  if (type == xla::DataType::f64) return f(double{});
  refuse(call.name, "arguments", "float32 or float64", "another type");
}

// One call at a time has a team. What XLA runs beside it, on other threads of its own, stays on those.
class Turn {
 public:
  Turn() : own_(!taken().test_and_set(std::memory_order_acquire)) {}
  ~Turn() {
    if (own_) taken().clear(std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  int threads() const { return own_ ? 0 : 1; }  // at most; 0: as many as there may be

 private:
  static std::atomic_flag& taken() {
    static std::atomic_flag flag = ATOMIC_FLAG_INIT;
    return flag;
  }
  const bool own_;
};

// XLA's threads take denormal numbers for 0, those of a team do not: results must not depend on who computes them.
class DefaultArithmetic {
 public:
  DefaultArithmetic() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultArithmetic() { std::fesetenv(&before_); }
  DefaultArithmetic(const DefaultArithmetic&) = delete;
  DefaultArithmetic& operator=(const DefaultArithmetic&) = delete;

 private:
  std::fenv_t before_;
};

inline xla::Error* xla_error(const xla::Api* api, xla::ErrorCode code, const std::string& message) {
  xla::ErrorCreateArgs args{xla::error_create_size, nullptr, message.c_str(), code};
  return api->create_error(&args);
}

// What XLA registers: Call::run(XlaCall&) for a call, its exceptions as XLA's errors.
template <class Call>
xla::Error* xla_handler(xla::CallFrame* frame) {
  const xla::Api* api = frame->api;
  const auto refused = [&](const std::string& reason) {
    return xla_error(api, xla::ErrorCode::invalid_argument, Call::name + (": " + reason));
  };
  if (frame->struct_size != xla::call_frame_size || api->version.major != xla::major_version)
    return refused("written for versions 0.1 to 0.3 of XLA's interface, received " +
                   std::to_string(api->version.major) + "." + std::to_string(api->version.minor) +
                   ": jaxlib and evenflow do not go together");
  if (auto* asked = frame->extensions; asked != nullptr && asked->type == xla::ExtensionType::metadata) {
    auto& metadata = *reinterpret_cast<xla::MetadataExtension*>(asked)->metadata;
    if (metadata.struct_size < xla::metadata_size) return refused("unknown metadata");
    metadata.version = {xla::version_size, nullptr, xla::major_version, xla::minor_version};
    metadata.traits = 0;
    return nullptr;
  }
  if (frame->stage != xla::Stage::execute || frame->arguments.struct_size != xla::buffers_size ||
      frame->results.struct_size != xla::buffers_size || frame->attributes.struct_size != xla::attributes_size)
    return refused("unknown kind of call");
  try {
    const DefaultArithmetic arithmetic;
    XlaCall call(Call::name, *frame);
    Call::run(call);
  } catch (const std::bad_alloc&) {
    return xla_error(api, xla::ErrorCode::resource_exhausted, Call::name + std::string(": out of memory"));
  } catch (const std::exception& error) {
    return xla_error(api, xla::ErrorCode::invalid_argument, error.what());
  }
  return nullptr;
}

}  // namespace evenflow
