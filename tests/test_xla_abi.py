"""What `csrc/bindings/xla_abi.h` declares of XLA's interface, against the header of the jaxlib that is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

ffi = pytest.importorskip("jax.ffi")
pytestmark = pytest.mark.peers

CSRC = Path(__file__).resolve().parent.parent / "csrc"
# Ours: XLA's, and the members in pairs.
STRUCTURES = {
    "Extension": ("Extension_Base", "struct_size type next"),
    "Version": ("Api_Version", "struct_size extensions=extension_start major=major_version minor=minor_version"),
    "ErrorCreateArgs": ("Error_Create_Args", "struct_size extensions=extension_start message code=errc"),
    "Api": (
        "Api",
        "struct_size extensions=extension_start version=api_version internal=internal_api "
        "create_error=XLA_FFI_Error_Create",
    ),
    "Buffer": ("Buffer", "struct_size extensions=extension_start dtype data rank dims"),
    "Text": ("ByteSpan", "data=ptr size=len"),
    "Scalar": ("Scalar", "dtype value"),
    "Attributes": ("Attrs", "struct_size extensions=extension_start size types names values=attrs"),
    "CallFrame": (
        "CallFrame",
        "struct_size extensions=extension_start api context=ctx stage arguments=args results=rets attributes=attrs "
        "future",
    ),
    "Metadata": ("Metadata", "struct_size version=api_version traits"),
    "MetadataExtension": ("Metadata_Extension", "base=extension_base metadata"),
}
BUFFERS = {
    "Args": "struct_size extensions=extension_start size types values=args",
    "Rets": "struct_size extensions=extension_start size types values=rets",
}
SIZES = {
    "call_frame_size": "CallFrame",
    "attributes_size": "Attrs",
    "buffer_size": "Buffer",
    "version_size": "Api_Version",
    "metadata_size": "Metadata",
    "error_create_size": "Error_Create_Args",
}
VALUES = {
    "ExtensionType::metadata": "Extension_Metadata",
    "Stage::execute": "ExecutionStage_EXECUTE",
    "BufferType::buffer": "ArgType_BUFFER",
    "AttributeType::array": "AttrType_ARRAY",
    "AttributeType::dictionary": "AttrType_DICTIONARY",
    "AttributeType::scalar": "AttrType_SCALAR",
    "AttributeType::string": "AttrType_STRING",
    **{f"DataType::{name}": f"DataType_{name.upper()}" for name in ("pred", "s32", "s64", "u32", "f32", "f64")},
    **{
        f"ErrorCode::{name}": f"Error_Code_{name.upper()}"
        for name in ("invalid_argument", "resource_exhausted", "internal")
    },
}


def assertions() -> list[str]:
    found = []
    structures = [(own, *theirs) for own, theirs in STRUCTURES.items()]
    for own, theirs, members in [*structures, *(("Buffers", name, members) for name, members in BUFFERS.items())]:
        for pair in members.split():
            a, b = (pair.split("=") * 2)[:2]
            ours, other = f"xla::{own}, {a}", f"XLA_FFI_{theirs}, {b}"
            found.append(f"offsetof({ours}) == offsetof({other})")
            found.append(f"sizeof(xla::{own}::{a}) == sizeof(XLA_FFI_{theirs}::{b})")
    # The last one may have grown by what stands behind what we read.
    found += [
        f"sizeof(xla::{own}) == sizeof(XLA_FFI_{theirs})"
        for own, theirs, _ in structures
        if own not in ("Api", "Metadata")
    ]
    found += [f"xla::{own} == XLA_FFI_{theirs}_STRUCT_SIZE" for own, theirs in SIZES.items()]
    found += [f"xla::buffers_size == XLA_FFI_{theirs}_STRUCT_SIZE" for theirs in BUFFERS]
    found += [f"int(xla::{own}) == int(XLA_FFI_{theirs})" for own, theirs in VALUES.items()]
    found.append("int(xla::BufferType::buffer) == int(XLA_FFI_RetType_BUFFER)")
    found.append("xla::major_version == XLA_FFI_API_MAJOR")
    found.append("xla::minor_version <= XLA_FFI_API_MINOR")
    return found


def compiles(lines: list[str], tmp_path: Path) -> subprocess.CompletedProcess:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "abi.cpp"
    includes = '#include "bindings/xla_abi.h"\n#include "xla/ffi/api/c_api.h"\nusing namespace evenflow;\n'
    source.write_text(includes + "\n".join(f'static_assert({line}, "");' for line in lines) + "\n")
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{CSRC}", f"-I{ffi.include_dir()}", str(source)]
    return subprocess.run(command, capture_output=True, text=True)


def test_declarations_are_xlas(tmp_path):
    done = compiles(assertions(), tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_structure_and_value_is_compared():
    header = (CSRC / "bindings" / "xla_abi.h").read_text(encoding="utf-8")
    declared = {line.split()[1] for line in header.splitlines() if line.startswith("struct ") and line.endswith("{")}
    assert declared == {*STRUCTURES, "Buffers"}
    for line in header.splitlines():
        if line.startswith("enum class "):
            kind, values = line.split()[2], line.split("{")[1].split("}")[0]
            assert {f"{kind}::{one.split('=')[0].strip()}" for one in values.split(",")} <= VALUES.keys()


def test_a_difference_is_noticed(tmp_path):
    done = compiles(["offsetof(xla::CallFrame, stage) == offsetof(XLA_FFI_CallFrame, args)"], tmp_path)
    assert "static assertion failed" in done.stderr
