"""ONNX files with bytes that are wrong."""

import io

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.peers

import onnx_models  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from evenflow.onnx import export, load  # noqa: E402


def test_damaged_files_are_clear_errors(tmp_path, rng):
    whole = export(onnx_models.settle(onnx_models.MODELS["dense"]("float32"), rng)).SerializeToString()
    path, seen = tmp_path / "net.onnx", {"read": 0, "refused": 0}
    contents = [b"", b"\0" * 40, b"PK\3\4", io.BytesIO(whole).read()[: len(whole) // 2]]
    for _ in range(300):
        changed = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        contents.append(bytes(changed))
    for content in contents:
        path.write_bytes(content)
        try:
            load(path)
            seen["read"] += 1
        except ValueError as error:
            assert str(error).startswith("load: ")
            seen["refused"] += 1
    assert seen["refused"] > 20


@pytest.mark.parametrize(
    ("written", "damaged", "message"),
    [(b"\x03net", b"\x03n\xfft", "a name is no text"), (b"\x08\x01", b"\x08\x68", "the unknown type 104")],
)
def test_damaged_names_and_types(written, damaged, message, tmp_path):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 6]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 20)]
    raw = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    place = raw.index(written, raw.index(b"\x01x\x12") if written[0] == 8 else 0)
    (tmp_path / "net.onnx").write_bytes(raw[:place] + damaged + raw[place + len(written) :])
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "net.onnx")
