// The part of XLA's foreign function interface that handlers read. It is an interface of C, declared here so that a
// build needs no jaxlib: members in XLA's order, of XLA's types (xla/ffi/api/c_api.h there). A test compares every size
// and offset with the header of the jaxlib that is installed; a call whose sizes are others is refused.
#pragma once

#include <cstddef>
#include <cstdint>

namespace evenflow::xla {

// The oldest version that XLA accepts, which has all of this.
constexpr int major_version = 0, minor_version = 1;

struct Error;    // XLA's own, and never read here
struct Context;  // likewise
struct Future;   // likewise

enum class ExtensionType : int { metadata = 1 };
enum class Stage : int { execute = 3 };
enum class BufferType : int { buffer = 1 };
enum class AttributeType : int { array = 1, dictionary = 2, scalar = 3, string = 4 };
enum class DataType : int { pred = 1, s32 = 4, s64 = 5, u32 = 8, f32 = 11, f64 = 12 };
enum class ErrorCode : int { invalid_argument = 3, resource_exhausted = 8, internal = 13 };

// Structures begin with their size, and most with a list of extensions.
struct Extension {
  std::size_t struct_size;
  ExtensionType type;
  Extension* next;
};

struct Version {
  std::size_t struct_size;
  Extension* extensions;
  int major, minor;
};

struct ErrorCreateArgs {
  std::size_t struct_size;
  Extension* extensions;
  const char* message;
  ErrorCode code;
};

// What XLA offers to handlers, of which they need the first function alone.
struct Api {
  std::size_t struct_size;
  Extension* extensions;
  Version version;
  const void* internal;
  Error* (*create_error)(ErrorCreateArgs*);
};

struct Buffer {
  std::size_t struct_size;
  Extension* extensions;
  DataType dtype;
  void* data;
  std::int64_t rank;
  std::int64_t* dims;
};

// Arguments, and results.
struct Buffers {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t size;
  BufferType* types;
  void** values;
};

struct Text {
  const char* data;
  std::size_t size;
};

struct Scalar {
  DataType dtype;
  void* value;
};

struct Attributes {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t size;
  AttributeType* types;
  Text** names;
  void** values;  // of a scalar a Scalar, of a string a Text
};

struct CallFrame {
  std::size_t struct_size;
  Extension* extensions;
  const Api* api;
  Context* context;
  Stage stage;
  Buffers arguments, results;
  Attributes attributes;
  Future* future;
};

// Asked for in place of a call: what a handler is. What follows `traits` in later versions XLA has set.
struct Metadata {
  std::size_t struct_size;
  Version version;
  std::uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

using Handler = Error*(CallFrame*);

// Sizes as XLA counts them: to the end of a last member, without padding, and without a call's `future`.
constexpr std::size_t call_frame_size = offsetof(CallFrame, attributes) + sizeof(Attributes);
constexpr std::size_t buffers_size = offsetof(Buffers, values) + sizeof(void**);
constexpr std::size_t attributes_size = offsetof(Attributes, values) + sizeof(void**);
constexpr std::size_t buffer_size = offsetof(Buffer, dims) + sizeof(std::int64_t*);
constexpr std::size_t version_size = offsetof(Version, minor) + sizeof(int);
constexpr std::size_t metadata_size = offsetof(Metadata, traits) + sizeof(std::uint32_t);
constexpr std::size_t error_create_size = offsetof(ErrorCreateArgs, code) + sizeof(ErrorCode);

}  // namespace evenflow::xla
