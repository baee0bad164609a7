"""A file that claims what it does not hold costs its reader an error, and no more memory than its size."""

import json
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from example import bits, blobs, network

from evenflow.layers import Dense, Input
from evenflow.models import Sequential, load_model

HUGE = 1 << 40


def parts(path):
    """Header and data of a safetensors file."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A trained model's file, without the checksum that would tell what is done to it."""
    path = tmp_path_factory.mktemp("whole") / "model.safetensors"
    model = network()
    model.fit(*blobs(), verbose=0)
    model.save(path)
    header, data = parts(path)
    del header["__metadata__"]["sha256"]
    path.write_bytes(joined(header, data))
    return path


def numbers(value, path=()):
    """Where the numbers of plain data are."""
    if isinstance(value, dict):
        value = value.items()
    elif isinstance(value, list):
        value = enumerate(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path
        return
    else:
        return
    for key, item in value:
        yield from numbers(item, (*path, key))


def replaced(value, path, new):
    changed = json.loads(json.dumps(value))
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return changed


def hostile(path):
    """Files that claim too much, each with a name."""
    header, data = parts(path)
    metadata = header["__metadata__"]
    for size in (HUGE, 99_999_999, 1 << 62):
        yield f"header of {size}", struct.pack("<Q", size) + path.read_bytes()[8:]
    for depth in (1000, 100_000):
        yield f"header {depth} deep", joined(b'{"a":' * depth + b"1" + b"}" * depth, data)
        for key in ("model", "compile", "state"):
            deep = {**metadata, key: "[" * depth + "]" * depth}
            yield f"{key} {depth} deep", joined(header | {"__metadata__": deep}, data)
    for claim in ({"shape": [HUGE, HUGE]}, {"shape": [HUGE]}, {"data_offsets": [0, HUGE]}, {"dtype": "F64"}):
        claimed = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]} | claim
        yield f"tensor {claim}", joined(header | {"top/bias": claimed}, data)
    yield (
        "a tensor twice as large",
        joined(header | {"big": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}, data),
    )
    for key in ("model", "compile", "state"):
        described = json.loads(metadata[key])
        for place in numbers(described):
            for new in (HUGE, 10**9, -1, 1e300, "1", None):
                changed = {**metadata, key: json.dumps(replaced(described, place, new))}
                yield f"{key} {place} = {new}", joined(header | {"__metadata__": changed}, data)
    layers = json.loads(metadata["model"])
    wide = {"class_name": "Dense", "config": {"name": "wide", "units": HUGE}}
    for count in (1, 300):
        more = [wide | {"config": wide["config"] | {"name": f"wide_{i}"}} for i in range(count)]
        changed = {**metadata, "model": json.dumps(layers | {"layers": layers["layers"] + more})}
        yield f"{count} wide layers", joined(header | {"__metadata__": changed}, data)
    for name, config in (
        ("AUC", {"num_thresholds": 10**9}),
        ("ConfusionMatrix", {"num_classes": 10**6}),
        ("MeanIoU", {"num_classes": 10**6}),
        ("TopKCategoricalAccuracy", {"k": 10**9}),
        ("PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 10**9}),
    ):
        compiled = json.loads(metadata["compile"])
        compiled["metrics"] = [{"class_name": name, "config": config}]
        changed = {**metadata, "compile": json.dumps(compiled)}
        yield f"metric {name}", joined(header | {"__metadata__": changed}, data)


def measure(folder):
    """Load every hostile file; for each that took more memory than it may, or gave another error, a line."""
    import resource

    whole = folder / "model.safetensors"
    load_model(whole)
    path = folder / "hostile"
    count = 0
    for name, content in hostile(whole):
        path.write_bytes(content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tracemalloc.start()
        try:
            load_model(path)
        except ValueError as error:
            if not str(error).startswith(f"load_model: cannot use {str(path)!r}: "):
                print(f"{name}: {error}")
        except BaseException as error:
            print(f"{name}: {error!r}")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        # Beside the content: Python's own objects for the description, and pages of the heap.
        if peak > 3_000_000 + 8 * len(content) or grown > 8_000_000 + 8 * len(content):
            print(f"{name}: {peak} bytes at most, {grown} of the process, for a file of {len(content)}")
        count += 1
    print(count)


def test_no_claim_is_believed(whole):
    command = [sys.executable, "-W", "error", __file__, str(whole.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *wrong, count = done.stdout.splitlines()
    assert not wrong, "\n".join(wrong)
    assert int(count) > 150


def test_truncation_at_every_kind_of_place(whole, tmp_path):
    content = whole.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    places = {*range(12), 8 + header // 2, *range(6 + header, 12 + header), len(content) - 40, len(content) - 1}
    for place in sorted(places):
        (tmp_path / "m").write_bytes(content[:place])
        with pytest.raises(ValueError, match=r"^load_model: cannot use .* it is not a whole safetensors file: "):
            load_model(tmp_path / "m")


def test_every_flipped_bit_of_the_data_is_told(tmp_path):
    model = network()
    model.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    for place in range(8 + header, len(content), 97):
        broken = bytearray(content)
        broken[place] ^= 1 << place % 8
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(ValueError, match="it is damaged: its checksum is not that of what it holds"):
            load_model(tmp_path / "broken")


def test_every_flipped_byte_of_the_header_gives_the_same_model_or_an_error(tmp_path):
    model = network()
    model.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    refused = 0
    for place in range(0, 8 + header, 31):
        broken = bytearray(content)
        broken[place] ^= 1 << place % 7
        (tmp_path / "broken").write_bytes(broken)
        try:
            found = load_model(tmp_path / "broken")
        except ValueError as error:
            assert str(error).startswith("load_model: cannot use")
            refused += 1
        else:
            assert bits(found) == bits(model)
    assert refused > 50


def test_loading_takes_the_size_of_the_file(tmp_path):
    path = tmp_path / "large"
    Sequential([Input((800,)), *(Dense(800, name=f"d{i}") for i in range(5))]).save(path)
    tracemalloc.start()
    model = load_model(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert model.count_params() * 4 <= peak < 1.1 * path.stat().st_size


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
