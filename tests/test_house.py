"""The rules of the house: who may know whom, what the binary exports, and what no file may hold."""

import ast
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evenflow
from evenflow import _core, activations, reference

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "evenflow"

# C++: each folder may include itself and those before it.
LAYERS = ["math", "simd", "kernels", "program", "cuda", "bindings"]
# Of the processor's executor, the GPU's knows the plan and plain data alone; and of vectors, only its own.
OF_PLANS = {"plan", "spec", "run", "spending", "metrics", "feed", "health"}
# Headers of the standard library that the formulas and vectors may use: nothing that emits a symbol of its own.
BARE_HEADERS = {"cmath", "cstddef", "cstdint", "cstring", "limits", "tuple", "type_traits", "utility", "immintrin.h"}
# Python: the files that may touch the native core.
CORE_USERS = {
    "activations",
    "cli.cross_validation",
    "cli.info",
    "cli.train",
    "data.arrays",
    "data.ids",
    "jax.calls",
    "kernels",
    "losses.base",
    "many.fits",
    "metrics.base",
    "sklearn.validation",
    "training.custom_steps",
    "training.executor",
    "training.position",
}
# Python: each package or module may import itself and those of the rows before; those of a row do not know each other.
PACKAGES = [
    ["errors", "reference"],
    ["common"],
    ["data", "kernels", "tables"],
    ["activations", "constraints", "initializers", "jax", "regularizers"],
    ["layers", "losses", "optimizers"],
    ["lint", "metrics", "schedules", "torch"],
    ["saving"],
    ["callbacks"],
    ["plotting"],
    ["training"],
    ["models"],
    ["backend", "convert", "datasets", "many", "recipes", "reporting", "utils"],
    ["keras", "onnx", "pretraining"],
    ["cli", "sklearn"],
]
HARD_DEPENDENCIES = {"numpy", "safetensors", "tqdm"}
# Packages that exist to use an optional dependency, the one of that name, and are imported on demand.
DOORS = {"jax", "keras", "onnx", "sklearn", "torch"}
MOST_LINES = 450


def files(*folders: str) -> list[Path]:
    """Source files of these top-level folders."""
    suffixes = {".h", ".cpp", ".cu", ".cuh", ".py", ".pyi"}
    found = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes]
    assert found, f"no source files in {folders}"
    return sorted(found)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def hits(pattern: str, paths: list[Path]) -> list[str]:
    """The lines of these files that match, as "file:line: text"."""
    return [
        f"{named(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]


def native(*folders: str) -> list[Path]:
    return [p for p in files("csrc") if p.relative_to(CSRC).parts[0] in folders]


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Absolute names of the modules a file of the package imports; blocks for type checkers do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if top_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            package = ["evenflow", *path.relative_to(PACKAGE).parts[:-1]]
            package = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*package, *filter(None, [node.module])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names if node.level and not node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


# ----------------------------------------------------------------------------------------------------------------- C++


def test_includes_go_one_way():
    wrong = []
    for path in native(*LAYERS):
        layer = LAYERS.index(path.relative_to(CSRC).parts[0])
        for include in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE):
            folder = include.split("/")[0]
            if folder not in LAYERS or LAYERS.index(folder) > layer:
                wrong.append(f"{named(path)} includes {include}")
    assert not wrong


def test_the_second_executor_knows_plans_alone():
    wrong = []
    for path in native("cuda"):
        for include in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE):
            folder, name = include.split("/", 1)
            if folder == "simd" or (folder == "program" and name.removesuffix(".h") not in OF_PLANS):
                wrong.append(f"{named(path)} includes {include}")
    assert not wrong


def test_formulas_and_vectors_use_bare_headers():
    wrong = []
    for path in native("math", "simd"):
        for include in re.findall(r"^\s*#\s*include\s+<([^>]+)>", path.read_text(encoding="utf-8"), re.MULTILINE):
            if include not in BARE_HEADERS:
                wrong.append(f"{named(path)} includes <{include}>")
    assert not wrong


def test_threads_live_in_program():
    below = native("math", "simd", "kernels")
    assert not hits(r"#\s*pragma\s+omp|\bomp_\w+\s*\(|<omp\.h>|std::thread|<thread>", below)
    # The choice of an instruction set is the one thing below the program that threads share.
    assert not hits(r"<atomic>", [path for path in below if path.name != "dispatch.cpp"])
    assert not hits(r"#\s*pragma\s+omp|<omp\.h>", native("bindings"))


def test_python_lives_in_bindings():
    assert not hits(r"pybind11|Python\.h", native("math", "simd", "kernels", "program", "cuda"))


def test_core_never_prints_or_aborts():
    assert not hits(
        r"\b(printf|fprintf|puts|perror|abort|_?exit|terminate)\s*\(|std::c(out|err|log)\b|<iostream>", files("csrc")
    )


def test_no_dangerous_flags():
    build = [ROOT / name for name in ("CMakeLists.txt", "CMakePresets.json", "pyproject.toml")]
    assert not hits(r"fast-math|-Ofast|march=native|finite-math|-flto", build + files("csrc"))


# -------------------------------------------------------------------------------------------------------------- Python


def module_name(path: Path) -> str:
    """The name after "evenflow.", as the rules above list it."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_only_named_modules_touch_the_core():
    users = {module_name(p) for p in PACKAGE.rglob("*.py") if "evenflow._core" in imports(p)}
    assert users == CORE_USERS


def test_packages_go_one_way():
    rank = {name: row for row, names in enumerate(PACKAGES) for name in names}
    present = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert present - {"__init__", "__main__", "bench"} == set(rank)
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own not in rank:
            continue
        used = {name.split(".")[1] for name in imports(path) if name.startswith("evenflow.")} & rank.keys()
        wrong += [f"{named(path)} imports {name}" for name in used - {own} if rank[name] >= rank[own]]
    assert not wrong


def test_reference_knows_only_numpy():
    for path in (PACKAGE / "reference").glob("*.py"):
        foreign = {n for n in imports(path) if not n.startswith("evenflow.reference")}
        assert {n.split(".")[0] for n in foreign} <= {"numpy", *sys.stdlib_module_names}, path.name


def test_no_optional_dependency_at_import():
    for path in sorted(PACKAGE.rglob("*.py")):
        roots = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        foreign = roots - HARD_DEPENDENCIES - {"evenflow"} - set(sys.stdlib_module_names)
        door = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert not foreign or door in DOORS, f"{path.name} imports {foreign} at module level"


def test_import_loads_no_optional_dependency():
    optional = ["torch", "jax", "keras", "tensorflow", "sklearn", "scipy", "onnx", "pandas", "matplotlib"]
    code = f"import sys, evenflow.models, evenflow.layers; print([m for m in {optional} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_activation_names_agree():
    core = set(_core.activations())
    assert core, "the core lists no activation"
    for name in core:
        assert callable(getattr(activations, name)), f"activations.{name} is missing"
        assert callable(getattr(reference, name)), f"reference.{name} is missing"


def public_modules() -> list[str]:
    found = (m.name.removeprefix("evenflow.") for m in pkgutil.walk_packages([str(PACKAGE)], "evenflow."))
    # A rule of lint says what it is for in its findings.
    return [name for name in found if not name.startswith(("_", "lint."))]


@pytest.mark.parametrize("module", ["", *public_modules()])
def test_public_names_are_documented(module, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    if module.split(".")[0] in DOORS:
        pytest.importorskip(module.split(".")[0])
    found = importlib.import_module(f"evenflow.{module}" if module else "evenflow")
    missing = [] if (found.__doc__ or "").strip() else ["the module itself"]
    for name, value in vars(found).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if not str(value.__module__).startswith("evenflow"):
            continue
        if not (value.__doc__ or "").strip():
            missing.append(name)
        if inspect.isclass(value) and value.__module__ == found.__name__:
            missing += [
                f"{name}.{method}"
                for method, function in vars(value).items()
                if not method.startswith("_")
                and inspect.isfunction(function)
                and not inspect.getdoc(getattr(value, method))
            ]
    assert not missing


def test_all_names_exist():
    for name in getattr(evenflow, "__all__", []):
        if name in DOORS and importlib.util.find_spec(name) is None:
            continue
        assert hasattr(evenflow, name), f"evenflow.__all__ names {name}"


def test_version_is_single_sourced():
    declared = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared
    assert evenflow.__version__ == _core.__version__ == declared.group(1)
    repeated = re.escape(declared.group(1))
    assert not hits(rf'__version__\s*=\s*"{repeated}"|EVENFLOW_VERSION\s+"{repeated}"', files("csrc", "python"))


# --------------------------------------------------------------------------------------------------------------- files


def test_files_have_one_reason_to_exist():
    long = {}
    for path in files("csrc", "python", "tests", "bench", "examples"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            long[named(path)] = lines
    assert not long


def test_nothing_unfinished():
    marks = "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"])
    assert not hits(rf"\b({marks})\b", files("csrc", "python", "tests", "bench", "examples"))


def test_no_file_called_utils():
    assert not [
        named(p)
        for p in files("csrc", "python", "tests", "bench", "examples")
        if p.stem in {"utils", "util", "helpers"}
    ]


def test_no_path_of_this_machine():
    texts = (
        files("csrc", "python", "tests", "bench", "examples")
        + sorted(ROOT.glob("*.*"))
        + sorted((ROOT / "docs").rglob("*.md"))
    )
    texts = [
        p
        for p in texts
        if p.is_file() and p.suffix in {".h", ".cpp", ".cu", ".py", ".pyi", ".md", ".toml", ".txt", ".json"}
    ]
    assert not hits(re.escape(f"{ROOT.parent}/") if ROOT.parent != Path("/") else r"(?!)", texts)


def test_readme_has_both_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command, word in (("train", "evenflow train"), ("test", "pytest")):
        found = re.search(rf"<!-- command: {command} -->\s*```\w*\n(.*?)```", readme, re.DOTALL)
        assert found, f"README.md has no command marked {command}"
        assert word in found.group(1)


# -------------------------------------------------------------------------------------------------------------- binary


def tool(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def objects(isa: str) -> list[Path]:
    """The object files of one instruction set, where a build left them."""
    folder = os.environ.get("EVENFLOW_BUILD_DIR")
    found = sorted(Path(folder or ROOT / "build").rglob(f"kernels/{isa}*.o"))
    if not found and folder:
        pytest.fail(f"EVENFLOW_BUILD_DIR={folder} holds no kernels/{isa}*.o")
    if not found:
        pytest.skip("no object files: build with a kept build directory and name it in EVENFLOW_BUILD_DIR")
    return found


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
def test_shared_symbols_carry_their_instruction_set(isa):
    # The linker keeps one copy of a weak symbol. Were it this file's, an older processor would run its instructions.
    wrong = []
    for path in objects(isa):
        for line in tool("nm", "-C", "--defined-only", str(path)).splitlines():
            kind, name = re.match(r"[0-9a-f]* *(\w) (.*)", line).groups()
            if kind in "WwVvu" and f"{isa}::" not in name:
                wrong.append(f"{path.name}: {name}")
    assert not wrong


def test_only_the_module_entry_is_exported():
    exported = [line.split()[-1] for line in tool("nm", "-D", "--defined-only", _core.__file__).splitlines()]
    assert exported == ["PyInit__core"]


def test_no_library_path_is_baked_in():
    dynamic = tool("readelf", "-d", _core.__file__)
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic


def test_every_binding_has_a_stub():
    stub = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    declared = {n.name for n in stub.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"}
    assert declared == {name for name in vars(_core) if not name.startswith("_")}
