"""
The words for why that verdicts can have, read from the code that judges.

Whatever takes a parameter ``reason`` passes it on; what it is given in that place is a reason, as text, or as one of
the few expressions that are followed here. Any other fails, so that no reason is missed.
"""

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

from listenctl.protocol.jambonz_model.mark_playout import MarkAnswer

PROTOCOL = Path(__file__).parent.parent.parent / "listenctl" / "protocol" / "jambonz_model"
FAULTS = frozenset(str(fault) for fault in get_args(get_type_hints(MarkAnswer)["fault"]))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def all_reasons() -> set[str]:
    """Return every reason that a verdict can have; no reason is none."""
    trees = {path.stem: ast.parse(path.read_text()) for path in PROTOCOL.glob("*.py")}
    places = {name: place for tree in trees.values() for name, place in _takers(tree)}
    assert "add_verdict" in places
    found = {
        reason
        for module, tree in trees.items()
        for function in _functions(tree)
        for given in _given(function, places)
        for reason in _Reader(module, tree, function).read(given)
    }
    return found - {""}


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _takers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Find what takes a reason, and at which place behind ``self``; a class does by its constructor."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    made_by = {one: owner.name for owner in classes for one in owner.body if getattr(one, "name", "") == "__init__"}
    for function in _functions(tree):
        if "reason" in (names := _parameters(function)):
            yield made_by.get(function, function.name), names.index("reason")


def _parameters(function: Function) -> list[str]:
    return [argument.arg for argument in function.args.args if argument.arg != "self"]


def _given(function: Function, places: Mapping[str, int]) -> Iterator[ast.expr]:
    """Find what is given as a reason within a function."""
    for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name not in places:
            continue
        starred = next((one for one in call.args if isinstance(one, ast.Starred)), None)
        named = next((one.value for one in call.keywords if one.arg == "reason"), None)
        yield starred or named or call.args[places[name]]


class _Reader:
    def __init__(self, module: str, tree: ast.Module, function: Function) -> None:
        self._module = module
        self._tree = tree
        self._function = function

    def read(self, given: ast.expr) -> set[str]:
        """Return all that an expression can be."""
        match given:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.IfExp(body=body, orelse=other):
                return self.read(body) | self.read(other)
            case ast.Name(id="reason") if "reason" in _parameters(self._function):
                return set()
            case ast.Name(id=name):
                return self._assigned(name)
            case ast.Starred(value=ast.Subscript(value=ast.Name(id=table))):
                values = vars(import_module(f"listenctl.protocol.jambonz_model.{self._module}"))[table].values()
                return {reason for reason, *_ in values}
        return self._attribute(ast.unparse(given))

    def _assigned(self, name: str) -> set[str]:
        values = [
            node.value
            for node in ast.walk(self._function)
            if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets)
        ]
        assert values, f"{self._module}: where does the reason {name} in {self._function.name} come from?"
        return set().union(*map(self.read, values))

    def _attribute(self, text: str) -> set[str]:
        match text:
            case "why.reason":
                # That of an exception, which was given it when it was made.
                return set()
            case "answer.fault":
                return set(FAULTS)
            case "self._why_no_stream":
                return _returned("playout", "_why_no_stream")
        raise AssertionError(f"{self._module}: {self._function.name} judges with the reason {text}: have it read here")


def _returned(module: str, name: str) -> set[str]:
    tree = ast.parse((PROTOCOL / f"{module}.py").read_text())
    function = next(one for one in _functions(tree) if one.name == name)
    reader = _Reader(module, tree, function)
    returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return set().union(*map(reader.read, returns))
