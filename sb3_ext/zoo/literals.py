"""Reads the Python snippets that RL Zoo's YAML files hold as strings, without running them.

``"dict(net_arch=[64, 64], activation_fn=nn.ReLU)"`` is walked as a syntax tree; only literals,
arithmetic on numbers, ``dict(...)`` and a short list of names are understood. Everything else is an
error: configuration is data.
"""

from __future__ import annotations

import ast
import importlib
import keyword
import math
import operator
from collections.abc import Callable
from typing import Any

# First part of a dotted name -> the module it stands for. One attribute is read from it.
MODULES = {
    "nn": "torch.nn",
    "th.nn": "torch.nn",
    "torch.nn": "torch.nn",
    "optim": "torch.optim",
    "th.optim": "torch.optim",
    "torch.optim": "torch.optim",
}
# Bare names that RL Zoo's own files use.
NAMES = {
    "HerReplayBuffer": "stable_baselines3:HerReplayBuffer",
    "RMSpropTFLike": "stable_baselines3.common.sb2_compat.rmsprop_tf_like:RMSpropTFLike",
}
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def read_literal(text: str) -> Any:
    """The value of a snippet such as ``"dict(n_critics=2, net_arch=[512, 512])"``.

    Args:
        text: A Python expression.

    Returns:
        Numbers, strings, lists, tuples, dicts, or a class from PyTorch's ``nn`` and ``optim``.

    Raises:
        ValueError: If the text is no expression, or holds anything outside the whitelist.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is not a Python literal") from error
    try:
        return _value(tree.body)
    except (TypeError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r}: {error}") from error


def write_literal(value: Any) -> str:
    """The snippet that :func:`read_literal` reads back, as RL Zoo's files write it.

    Raises:
        ValueError: If the value holds anything that snippets cannot name.
    """
    match value:
        case dict() if all(map(_is_keyword, value)):
            pairs = (f"{key}={write_literal(item)}" for key, item in value.items())
            return f"dict({', '.join(pairs)})"
        case dict():
            pairs = (f"{key!r}: {write_literal(item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case list():
            return f"[{', '.join(map(write_literal, value))}]"
        case tuple():
            return f"({', '.join(map(write_literal, value))}{',' if len(value) == 1 else ''})"
        case type():
            return _name_of(value)
        case float() if not math.isfinite(value):
            pass  # inf and nan are no literals
        case None | bool() | int() | float() | str():
            return repr(value)
    raise ValueError(f"{value!r} cannot be written as a literal")


def _is_keyword(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _name_of(cls: type) -> str:
    names = [*NAMES, *(f"{prefix}.{cls.__name__}" for prefix in ("nn", "optim"))]
    for name in names:
        try:
            if _named_class(name) is cls:
                return name
        except (ImportError, ValueError):
            continue
    raise ValueError(f"the class {cls.__name__} cannot be written as a literal")


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if not isinstance(value, bytes):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return _mapping([None if key is None else _value(key) for key in keys], values)
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return _mapping([word.arg for word in keywords], [word.value for word in keywords])
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_number(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_number(left), _number(right))
        case ast.Name() | ast.Attribute():
            return _named_class(ast.unparse(node))
    raise ValueError(f"{ast.unparse(node)!r} is not allowed here (literals and dict(...) only)")


def _mapping(keys: list[Any], values: list[ast.expr]) -> dict[Any, Any]:
    if None in keys:
        raise ValueError("'**' and None as a key are not allowed here")
    return {key: _value(value) for key, value in zip(keys, values, strict=True)}


def _number(node: ast.expr) -> int | float:
    value = _value(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{ast.unparse(node)!r} is not a number")
    return value


def _named_class(name: str) -> Any:
    if name in NAMES:
        module, _, attribute = NAMES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    prefix, _, attribute = name.rpartition(".")
    found = None
    if prefix in MODULES and not attribute.startswith("_"):
        found = getattr(importlib.import_module(MODULES[prefix]), attribute, None)
    if not isinstance(found, type):
        raise ValueError(f"the name {name!r} is not known here (nn.*, optim.* and dict(...) are)")
    return found
