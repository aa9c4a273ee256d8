"""Compares the driver's trees with CPython's, field by field, and its comments with those of tokenize.

Reads paths of source files from stdin, one a line, and converts each in this process, with the driver's own modules,
whose folder is the first argument. Prints what differs; nothing if all is as it should be.
"""

import ast
import io
import json
import sys
import tokenize
import warnings

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
sys.setrecursionlimit(20_000)

from babelhost_python import request, tree  # noqa: E402

STRINGS = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
PLACES = ("lineno", "col_offset", "end_lineno", "end_col_offset")


def plain(value):
    """A constant as the driver has it."""
    kind = type(value).__name__
    if isinstance(value, bytes):
        return kind, value.decode("latin-1")
    if isinstance(value, int) and not isinstance(value, bool) and value > 2**53:
        return kind, str(value) if value.bit_length() <= 14_000 else hex(value)
    if isinstance(value, float):
        return kind, "inf" if value == float("inf") else value
    if isinstance(value, complex):
        return kind, {"real": plain(value.real)[1], "imag": plain(value.imag)[1]}
    return kind, "..." if value is ... else value


def compare(node, found, embedded):
    """Yields what differs. Places within f-strings are not CPython's before 3.12."""
    if isinstance(node, STRINGS):
        if found != type(node).__name__:
            yield "%r is not %s" % (found, type(node).__name__)
    elif isinstance(node, ast.AST):
        if found["_type"] != type(node).__name__:
            yield "%s is not %s" % (found["_type"], type(node).__name__)
            return
        if not embedded:
            for place in PLACES:
                if getattr(node, place, None) != found.get(place):
                    yield "%s: %s is %s, not %s" % (found["_type"], place, found.get(place), getattr(node, place, None))
        embedded = embedded or (isinstance(node, ast.JoinedStr) and sys.version_info < (3, 12))
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(node, ast.Constant) and field == "value":
                if (found["value_type"], found["value"]) != plain(value):
                    yield "%r is not %r" % (found["value"], value)
            else:
                yield from compare(value, found[field], embedded)
    elif isinstance(node, list):
        if len(node) != len(found):
            yield "%d elements, not %d" % (len(found), len(node))
        for one, other in zip(node, found):
            yield from compare(one, other, embedded)
    elif node != found:
        yield "%r is not %r" % (found, node)


for line in sys.stdin:
    path = line.rstrip("\n")
    with open(path, "rb") as file:
        data = file.read()
    try:
        module = ast.parse(data)
        tokens = list(tokenize.tokenize(io.BytesIO(data).readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        continue
    converted = json.loads(tree.convert(request.text(data)))
    for difference in compare(module, converted, False):
        print("%s: %s" % (path, difference))
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    if comments != [comment["value"] for comment in converted["comments"]]:
        print("%s: its comments differ" % path)
