"""From docstrings to pages. Ours are plain text for `help()`: formulas, `code`, lines of arguments, columns of names.

autodoc takes docstrings for reStructuredText, in which stars and bars of formulas mean something else. So each goes
through `converted`: text is escaped, `code` leads to its entry where it has one, a line "argument: what it is" becomes
an entry of a list. Functions of the native core have no docstring: the module's table of kernels and the stub
`_core.pyi` describe them. A public name without an entry is a warning.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import inspect as typed, logging

import evenflow

CORE = "evenflow._core"
STUB = Path(evenflow.__file__ or "").with_name("_core.pyi")
CODE = re.compile(r"``(.+?)``|`(.+?)`")
ARGUMENTS = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")
RULE = re.compile(r"=+( +)=+")
COLUMNS = re.compile(r"(\S.*?) {3,}(\S.*)")
MARKER = re.compile(r"\(?\w{1,4}[.)] |[-+] |\.\. ")
SHORT = {
    "_Maybe": "Array | None",
    "_Out": "Sequence[Array | None] | None",
    "_P": "Array | Sequence[Array]",
    "_W": "Array | PackedWeights",
}


# ------------------------------------------------------------------------------------------------- public names


def public_modules() -> list[str]:
    """The modules of the reference by their whole names: those that `evenflow` names, and PyTorch's optimizers."""
    of_package = [name for name in dir(evenflow) if inspect.ismodule(getattr(evenflow, name, None))]
    return ["evenflow", *(f"evenflow.{name}" for name in of_package), "evenflow.torch.optim"]


def public_names(module: str) -> list[str]:
    """What a module offers, without other modules."""
    found = importlib.import_module(module)
    names = [*found.__all__, *getattr(found, "ON_DEMAND", ())]
    return [name for name in names if name[0] != "_" and not inspect.ismodule(getattr(found, name))]


@functools.cache
def entries() -> set[str]:
    """The whole names of all that the reference documents."""
    found = set(public_modules())
    for module in public_modules():
        for name in public_names(module):
            found.add(f"{module}.{name}")
            thing = getattr(importlib.import_module(module), name)
            if inspect.isclass(thing) and thing.__name__ == name and module != "evenflow" and thing.__module__ != CORE:
                found |= {f"{module}.{name}.{member}" for member in documented_members(thing)}
    return found


def documented_members(thing: type) -> Iterator[str]:
    """Public methods and properties with a docstring of their own; of models also those of their bases."""
    inherited = issubclass(thing, evenflow.Model)
    for name in dir(thing) if inherited else vars(thing):
        member = inspect.getattr_static(thing, name)
        described = inspect.isroutine(member) or isinstance(member, (property, classmethod, staticmethod))
        if name[0] != "_" and described and getattr(member, "__doc__", None):
            yield name


def entry_of(text: str, here: Sequence[str]) -> str | None:
    """The entry that `text` in the docstring of `here` (a module, class, function) means, if there is one."""
    text = text.removesuffix("()")
    if not re.fullmatch(r"[A-Za-z]\w*(\.\w+)*", text):
        return None
    for length in range(len(here), 0, -1):
        own = ".".join([*here[:length], text])
        if own in entries():
            return own if own != ".".join(here) else None
    if text in entries():
        return text
    if not text[0].isupper():
        return None  # a word, or a method of something else
    found = [name for name in entries() if name.endswith(f".{text}") and name.count(".") > text.count(".") + 1]
    return found[0] if len(found) == 1 else None


# ------------------------------------------------------------------------------------------------------- text


class Writer:
    """The docstring of one entry as reStructuredText."""

    def __init__(self, here: Sequence[str], arguments: Sequence[str]) -> None:
        self.here = here
        self.arguments = arguments

    def converted(self, lines: Sequence[str]) -> list[str]:
        written: list[str] = []
        blocks = [
            list(group) for filled, group in itertools.groupby(lines, key=lambda line: bool(line.strip())) if filled
        ]
        for number, block in enumerate(blocks):
            written += [*self.block(block, first=number == 0), ""]
        return written

    def block(self, lines: list[str], first: bool) -> Iterator[str]:
        columns = [COLUMNS.fullmatch(line) for line in lines]
        if RULE.match(lines[0]):
            yield from self.table(ruled_rows(lines))
        elif all(columns):
            yield from self.table([(row[1], row[2]) for row in columns if row])
        elif lines[0].startswith((" ", ">>> ")):
            yield ".. code-block:: " + ("pycon" if lines[0].startswith(">>> ") else "python")
            yield ""
            yield from ("   " + line for line in lines)
        elif lines[0].startswith("- "):
            for item in pieces(lines, lambda line, _: line.startswith("- ")):
                yield "- " + self.text([item[0].removeprefix("- "), *item[1:]])
        else:
            yield from self.paragraph(lines, first)

    def paragraph(self, lines: list[str], first: bool) -> Iterator[str]:
        def begins(line: str, inside: bool) -> bool:
            found = ARGUMENTS.fullmatch(line)
            if not found or (first and line == lines[0]):
                return False
            return inside or line == lines[0] or set(found[1].replace("*", "").split(", ")) <= set(self.arguments)

        for piece in pieces(lines, begins):
            found = ARGUMENTS.fullmatch(piece[0])
            if found and begins(piece[0], True):
                yield ", ".join(f"**{escaped(name)}**" for name in found[1].split(", "))
                yield "   " + self.text([found[2], *piece[1:]])
                yield ""
            else:
                yield self.text(piece)
                yield ""

    def table(self, rows: list[tuple[str, str]]) -> Iterator[str]:
        yield from (".. list-table::", "   :widths: auto", "")
        for names, what in rows:
            yield "   * - " + ", ".join(self.code(name) for name in names.split(", "))
            yield "     - " + self.text([what])

    def text(self, lines: list[str]) -> str:
        """One line, so that nothing in it can be a marker but its first word."""
        joined = " ".join(line.strip() for line in lines)
        written, end = "", 0
        for span in CODE.finditer(joined):
            before, after = joined[span.start() - 1 : span.start()], joined[span.end() : span.end() + 1]
            written += escaped(joined[end : span.start()])
            written += ("\\ " if before.strip() else "") + self.code(span[1] or span[2])
            written += "\\ " if after.strip() else ""
            end = span.end()
        written += escaped(joined[end:])
        return "\\" + written if MARKER.match(joined) else written

    def code(self, text: str) -> str:
        entry = None if text in self.arguments else entry_of(text, self.here)
        return f":py:obj:`{text} <{entry}>`" if entry else f"``{text.strip()}``"


def escaped(text: str) -> str:
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def pieces(lines: Sequence[str], begins: Callable[[str, bool], bool]) -> list[list[str]]:
    """Lines in groups, each from a line that begins one; `begins` also learns whether an earlier line did."""
    found: list[list[str]] = []
    inside = False
    for line in lines:
        if new := begins(line, inside):
            inside = True
        if new or not found:
            found.append([])
        found[-1].append(line)
    return found


def ruled_rows(lines: list[str]) -> list[tuple[str, str]]:
    """The rows of a table between rules of "=": names, and what they are; names may run over the second column."""
    start = lines[0].rindex(" ") + 1
    rows: list[tuple[str, str]] = []
    for line in lines[1:-1]:
        if line[:start].strip() and line[start - 1] != " ":
            rows.append((line.strip(), ""))
        elif line[:start].strip():
            rows.append((line[:start].strip(), line[start:].strip()))
        else:
            names, what = rows.pop()
            rows.append((names, f"{what} {line.strip()}".strip()))
    return rows


# ---------------------------------------------------------------------------------------------- native functions


@functools.cache
def stub() -> dict[str, ast.FunctionDef]:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@functools.cache
def kernels() -> list[tuple[list[str], str]]:
    """Names of eager kernels and what they do, as the table in their module says."""
    lines = inspect.cleandoc(evenflow.kernels.__doc__ or "").splitlines()
    ruled = [number for number, line in enumerate(lines) if RULE.match(line)]
    return [(names.split(", "), what) for names, what in ruled_rows(lines[ruled[0] : ruled[1] + 1])]


def native_docstring(name: str) -> str:
    if described := ast.get_docstring(stub()[name]):
        return described
    for names, what in kernels():
        if name in names:
            return what
    return next(what for _, what in kernels() if re.search(rf"\b{name}\b", what))


def native_signature(name: str) -> tuple[str, str]:
    node = stub()[name]
    both = ast.unparse(node.args), ast.unparse(node.returns) if node.returns else "None"
    arguments, result = (re.sub(r"\b_[A-Z]\w*", lambda m: SHORT.get(m[0], m[0].lstrip("_")), one) for one in both)
    return f"({arguments})", result


# --------------------------------------------------------------------------------------------------------- hooks


def on_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    if inspect.isbuiltin(thing) and thing.__name__ in stub():
        lines[:] = native_docstring(thing.__name__).splitlines()
    try:
        arguments = list(inspect.signature(thing).parameters) if callable(thing) else []
    except (TypeError, ValueError):
        arguments = []
    lines[:] = Writer(name.split("."), arguments).converted(lines)


def on_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    if inspect.isbuiltin(thing) and thing.__name__ in stub():
        return native_signature(thing.__name__)
    if inspect.isclass(thing) and (signature or "").startswith("(*arg"):  # its __new__ passes on what __init__ reads
        signature = typed.stringify_signature(
            typed.signature(thing.__init__, bound_method=True), show_return_annotation=False, unqualified_typehints=True
        )
    return tuple(text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text) for text in (signature, result))


def check_entries(app: Sphinx, env: Any) -> None:
    """Every public name has an entry."""
    present = {name for name, _, _, _, _, _ in env.get_domain("py").get_objects()}
    for name in sorted(entries() - present):
        logging.getLogger(__name__).warning("%s has no entry in the reference", name)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("env-check-consistency", check_entries)
    return {"parallel_read_safe": True}
