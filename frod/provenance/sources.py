"""A module's source, parsed without importing anything: digest of its syntax tree, and what it may import.

Parsing all modules takes longer than the rest of what Snakemake does where nothing is to be done. So the workflow keeps
what was parsed in a file, by the hash of the content; it may be deleted. An audit goes by what it has parsed itself.
"""

import ast
import contextlib
import functools
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frod import files


@dataclass(frozen=True)
class Source:
    """One parsed module: digest of its syntax tree, and the names through which it may reach others."""

    digest: str
    imports: frozenset[str]  # dotted, absolute; ``a.b.c`` may be name c of module a.b
    imports_on_load: frozenset[str]  # those outside functions
    strings: frozenset[str]
    computed: bool  # imports something whose name is not a literal

    def plain(self) -> list[Any]:
        """As JSON can hold it."""
        return [self.digest, *map(sorted, (self.imports, self.imports_on_load, self.strings)), self.computed]

    @classmethod
    def from_plain(cls, values: list[Any]) -> "Source":
        """Of `plain`."""
        digest, imports, on_load, strings, computed = values
        return cls(digest, frozenset(imports), frozenset(on_load), frozenset(strings), computed)


_parsed: dict[str, Source] = {}  # by all that a parsed module depends on: its content, and the package it lies in
_recalled: dict[str, Source] = {}


def parsed(path: Path) -> Source:
    """Parse once per content, wherever it lies: a commit has most modules of the one before."""
    stat = path.stat()
    key = _key(path, stat.st_size, stat.st_mtime_ns)
    if key not in _parsed:
        _parsed[key] = _recalled.get(key) or _parse(path)
    return _parsed[key]


@functools.lru_cache(maxsize=4096)
def _key(path: Path, size: int, mtime_ns: int) -> str:
    """Read once: size and time change when the content does, except within one tick of the clock."""
    return hashlib.sha256(f"{_package_of(path)}\n".encode() + path.read_bytes()).hexdigest()


def recall(file: Path) -> None:
    """Take what `keep` has written, not to parse it again; nothing if that is missing, damaged or another parser's."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text("utf-8"))
        if kept["parser"] == _parser():
            _recalled.update({key: Source.from_plain(values) for key, values in kept["modules"].items()})


def keep(file: Path) -> None:
    """Write all that this process has asked for to a file, unless that is what was recalled."""
    if _parsed.keys() == _recalled.keys():
        return
    kept = {"parser": _parser(), "modules": {key: source.plain() for key, source in _parsed.items()}}
    with contextlib.suppress(OSError):  # a folder to read only, for a dry run: it costs only time
        files.write_text(file, json.dumps(kept, separators=(",", ":")))


@functools.cache
def _parser() -> str:
    """Another Python or another text of this module may read the same source in another way."""
    return hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes()).hexdigest()


def _parse(path: Path) -> Source:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    package, tables = _package_of(path), _tables(tree)
    imports: set[str] = set()
    on_load: set[str] = set()
    strings: set[str] = set()
    computed = False
    stack: list[tuple[ast.AST, bool]] = [(tree, False)]
    while stack:
        node, inside = stack.pop()
        names: tuple[str, ...] = ()
        if isinstance(node, ast.Import):
            names = tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = _from_names(node, package)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
        elif isinstance(node, ast.Call):
            computed |= _computes_import(node, tables)
        imports.update(names)
        if not inside:
            on_load.update(names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        stack += [(child, inside) for child in ast.iter_child_nodes(node)]
    digest = hashlib.sha256("\x00".join(_normal_form(tree)).encode("utf-8", "surrogatepass")).hexdigest()
    return Source(digest, frozenset(imports), frozenset(on_load), frozenset(strings), computed)


def _package_of(path: Path) -> list[str]:
    """Parts of the dotted name of the package that holds the file, for relative imports."""
    parts: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists() or not parts:
        parts.insert(0, folder.name)
        folder = folder.parent
    return parts


def _from_names(node: ast.ImportFrom, package: list[str]) -> tuple[str, ...]:
    base = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*base, *([node.module] if node.module else [])])
    return (module, *(f"{module}.{alias.name}" for alias in node.names if alias.name != "*"))


def _tables(tree: ast.Module) -> frozenset[str]:
    """Names of the module's dictionaries of plain strings: what they may hold is read off them."""
    return frozenset(
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        if all(isinstance(value, ast.Constant) and isinstance(value.value, str) for value in node.value.values)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def _computes_import(node: ast.Call, tables: frozenset[str]) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in {"import_module", "__import__"}:
        return False
    match node.args:
        case [ast.Constant(), *_]:
            return False
        case [ast.Subscript(value=ast.Name(id=table)), *_]:
            return table not in tables
    return True


def _normal_form(tree: ast.AST) -> list[str]:
    """The tree as a flat list of texts, unambiguous, without docstrings, positions and empty fields.

    Leaving empty fields out keeps the form when a Python version adds one (``type_params`` in 3.12).
    """
    out: list[str] = []
    stack: list[object] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, ast.AST):
            stack.append(")")
            for field in reversed(item._fields):
                value = getattr(item, field, None)
                if field == "body" and isinstance(value, list) and _has_docstring(item):
                    value = value[1:]
                if value is None and not isinstance(item, ast.Constant | ast.MatchSingleton):
                    continue
                if value == [] or field in {"ctx", "kind", "type_comment"}:
                    continue
                stack += [value if isinstance(value, ast.AST | list) else repr(value), field]
            stack.append(f"({type(item).__name__}")
        elif isinstance(item, list):
            stack += ["]", *(part if isinstance(part, ast.AST) else repr(part) for part in reversed(item)), "["]
        else:
            out.append(str(item))
    return out


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
