"""Objects in what models write instead of JSON: expressions of Python, and YAML."""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Any

import yaml

LONGEST = 8_000
"""Characters that are looked at: more is no answer, and takes long to parse."""
MOST_BRACKETS = 100
"""In YAML; its parser takes long over many that are open."""
FENCE = re.compile(r"(?:```|~~~)\w*\n(.*?)\n\s*(?:```|~~~)", re.DOTALL)
SHOWN = re.compile(r"(?s)^(\w+=(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))(?:\s+\w+=.*)?$")
"""How objects of libraries print themselves: text='…' id=…; the first of these."""
BEFORE = re.compile(r"^(return|\w+\s*=(?=\s*[{\[(]))\s*")
WORDS = {"true": True, "false": False, "null": None}


def parts(content: str) -> list[str]:
    """What stands in a fence, the last first, or all."""
    content = content.strip()[:LONGEST]
    return [part.strip() for part in re.findall(FENCE, content)[::-1]] or [content]


def python_objects(content: str) -> Iterator[dict[str, Any]]:
    """Objects of an expression of Python, which is read and never run: dicts, and calls with names
    as `Answer(text='Go.')`, which is how objects are printed."""
    for part in parts(content):
        part = re.sub(
            SHOWN, r"shown(role='assistant', \1)", re.sub(BEFORE, "", part).removesuffix(";")
        )
        try:
            with warnings.catch_warnings(action="ignore"):
                value = _value(ast.parse(part, mode="eval").body)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        for one in value[::-1] if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield one


def _value(node: ast.AST) -> Any:
    """What an expression says; ValueError where it would have to be run."""
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Name(id=name):
            return WORDS.get(name, name)
        case ast.Dict(keys=keys, values=values) if all(keys):
            return {str(_value(k)): _value(v) for k, v in zip(keys, values, strict=True) if k}
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            values = [_value(item) for item in items]
            pairs = values and all(isinstance(v, list) and len(v) == 2 for v in values)
            return {str(k): v for k, v in values} if pairs else values
        case ast.Call(args=args, keywords=named):
            given = {word.arg: _value(word.value) for word in named if word.arg}
            return given or (_value(args[0]) if len(args) == 1 else [_value(arg) for arg in args])
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return str(_value(left)) + str(_value(right))
        case ast.UnaryOp(op=ast.USub(), operand=number):
            return -_value(number)
        case ast.JoinedStr(values=values):
            return "".join(str(_value(value)) for value in values)
    raise ValueError(type(node).__name__)


def yaml_objects(content: str, one_text: bool) -> Iterator[dict[str, Any]]:
    """Mappings of YAML, in a fence or by themselves; emphasis of Markdown is left out.

    `one_text`: nothing but a text is asked for. Then plain words are one, and only what is marked
    as YAML and has no "#", which would end a line of it, is read so.
    """
    if one_text and not re.search(r"(?m)\A\s*---\s*$|^(```|~~~)", content):
        return
    for part in parts(content):
        if one_text and re.search(r"\s#", part):
            continue
        part = re.sub(r"\*\*|__|(?m:^#+ )", "", part)
        if not re.match(r"(---\s*\n)?(\w+\s*:|[{\[-]\s)", part):
            continue
        if part.count("[") + part.count("{") > MOST_BRACKETS:
            continue
        try:
            if any(isinstance(t, (yaml.AnchorToken, yaml.AliasToken)) for t in yaml.scan(part)):
                continue  # what may stand for more than is there
            found = list(yaml.safe_load_all(part))
        except (yaml.YAMLError, ValueError, RecursionError, TypeError):
            continue
        for one in found[::-1]:
            for item in one[::-1] if isinstance(one, list) else [one]:
                if isinstance(item, dict):
                    yield {str(name): value for name, value in item.items()}
