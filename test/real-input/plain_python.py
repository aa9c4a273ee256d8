"""Python's own account of source files, for comparison with what the driver says of them.

Reads paths from stdin, one a line; writes a JSON line for each: {"path", "ok", "nodes"}. Nodes are counted as the
driver has them: contexts and operators are strings there, not nodes.
"""

import ast
import json
import sys
import warnings

warnings.simplefilter("ignore")
STRINGS = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)

for line in sys.stdin:
    path = line.rstrip("\n")
    with open(path, "rb") as file:
        data = file.read()
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        print(json.dumps({"path": path, "ok": False, "nodes": 0}))
    else:
        nodes = sum(1 for node in ast.walk(tree) if not isinstance(node, STRINGS))
        print(json.dumps({"path": path, "ok": True, "nodes": nodes}))
