"""Generates the functions that format nodes, from the tables of fields here.

A class or field that only a later Python has is formatted by the types of its values.
"""

import sys
import _ast

from . import names
from .constants import constant_narrow, constant_wide
from .places import end_of, scope, spans
from .request import quote

# Before 3.12, expressions in f-strings have wrong places and are parsed again: see embedded.py.
WRONG_PLACES = sys.version_info < (3, 12)

LISTS = frozenset(
    "body orelse finalbody handlers decorator_list bases keywords targets items names cases elts generators values "
    "comparators args posonlyargs kwonlyargs kw_defaults defaults keys ifs patterns kwd_patterns type_params dims "
    "type_ignores".split()
)
NUMBERS = frozenset("lineno conversion level simple is_async".split())
# Never null, unlike all other fields that are single nodes.
REQUIRED = frozenset("target test iter left right operand func elt slice context_expr subject cls".split())
VALUE_REQUIRED = frozenset(
    "Assign AugAssign NamedExpr Expr Await YieldFrom Attribute Subscript Starred keyword FormattedValue DictComp "
    "MatchValue Index".split()
)
DOCUMENTED = frozenset("Module ClassDef FunctionDef AsyncFunctionDef".split())
OPERATORS = (_ast.expr_context, _ast.boolop, _ast.operator, _ast.unaryop, _ast.cmpop)

# Code that finds the name in a class's field: it sets a and b to its offsets; s and t are the node's. The second one is
# for sources that are not ASCII, where the name in the tree may differ from the source (NFKC).
NAMES = {
    ("FunctionDef", "name"): ("a=F(n.name,s+4);b=a+len(n.name)", "a=names.skip(T,s+3);b=names.name_end(T,a)"),
    ("AsyncFunctionDef", "name"): (
        "a=F(n.name,F('def',s+5)+3);b=a+len(n.name)",
        "a=names.skip(T,F('def',s+5)+3);b=names.name_end(T,a)",
    ),
    ("ClassDef", "name"): ("a=F(n.name,s+5);b=a+len(n.name)", "a=names.skip(T,s+5);b=names.name_end(T,a)"),
    ("Attribute", "attr"): ("b=t;a=t-len(n.attr)", "b=t;a=names.name_start(T,t)"),
    ("arg", "arg"): ("a=s;b=s+len(n.arg)", "a=s;b=names.name_end(T,s)"),
    ("keyword", "arg"): ("a=s;b=s+len(n.arg or '')", "a=s;b=names.name_end(T,s)"),
    ("alias", "name"): ("a=s;b=t if n.asname is None else names.dotted_end(T,s)",) * 2,
    ("alias", "asname"): ("a,b=names.after_as(T,names.dotted_end(T,s)) if n.asname is not None else (0,0)",) * 2,
    ("ImportFrom", "module"): (
        "a=names.skip(T,s+4,'.') if n.module is not None else 0;b=names.dotted_end(T,a) if a else 0",
    )
    * 2,
    ("ExceptHandler", "name"): ("a,b=names.after_as(T,E(n.type)) if n.name is not None else (0,0)",) * 2,
    ("MatchAs", "name"): ("a,b=(names.name_start(T,t),t) if n.name is not None else (0,0)",) * 2,
    ("MatchStar", "name"): ("a,b=(names.name_start(T,t),t) if n.name is not None else (0,0)",) * 2,
    ("MatchMapping", "rest"): (
        "a,b=names.after_stars(T,E(n.patterns[-1]) if n.patterns else s+1) if n.rest is not None else (0,0)",
    )
    * 2,
    ("TypeVar", "name"): ("a=s;b=names.name_end(T,s)",) * 2,
    ("ParamSpec", "name"): ("a,b=names.after_stars(T,s)",) * 2,
    ("TypeVarTuple", "name"): ("a,b=names.after_stars(T,s)",) * 2,
}
NAME_LISTS = {
    ("Global", "names"): "names.name_list(T,s+6,len(n.names))",
    ("Nonlocal", "names"): "names.name_list(T,s+8,len(n.names))",
    ("MatchClass", "kwd_attrs"): "keyword_attributes(n)",
}


def install():
    """Gives each class functions that replace themselves by generated ones at their first call."""
    for base in OPERATORS:
        for operator in base.__subclasses__():
            operator.o = '"%s"' % operator.__name__
    for base in _ast.AST.__subclasses__():  # AST itself is immutable in Python 3.8
        base.j = generate_narrow
        base.u = generate_wide
    _ast.Constant.j = constant_narrow
    _ast.Constant.u = constant_wide
    if WRONG_PLACES:
        _ast.JoinedStr.j = _ast.JoinedStr.u = first_joined
    scope.update(names=names, E=end_of, G=any_value, D=body, spans=spans, keyword_attributes=keyword_attributes)


def generate_narrow(n):
    """Formats the first node of its class in a source in ASCII."""
    return generate(type(n), False)(n)


def generate_wide(n):
    """Formats the first node of its class in another source."""
    return generate(type(n), True)(n)


def generate(cls, wide):
    """Generates, installs and returns the function of a class."""
    method = "u" if wide else "j"
    name = cls.__name__
    lines = []
    parts = ['{{"_type":"%s"' % name]
    placed = "end_col_offset" in cls._attributes
    if placed:
        lines.append("l=n.lineno;c=n.col_offset;e=n.end_lineno;d=n.end_col_offset")
        lines.append(
            "s=M[l][c] if l in M else S[l]+c;t=M[e][d] if e in M else S[e]+d" if wide else "s=S[l]+c;t=S[e]+d"
        )
        parts.append(
            '"lineno":{I[l]},"col_offset":{I[c]},"end_lineno":{I[e]},"end_col_offset":{I[d]},"start":{s},"end":{t}'
        )
    if name == "JoinedStr":
        lines.append("spans.append((s,t))")
    for field in cls._fields:
        place = NAMES.get((name, field)) if placed else None
        if place is not None:
            code = place[wide]
            # The first name of the node has the variables a and b.
            if field == "asname":
                code = code.replace("a,b=", "x,y=")
                span = '"asname_start":{x},"asname_end":{y}'
            else:
                span = '"%s_start":{a},"%s_end":{b}' % (field, field)
            lines.append(code)
            spelled = '{Q(n.%s)}' % field if wide else '"{n.%s}"' % field
            if name in ("FunctionDef", "AsyncFunctionDef", "ClassDef", "Attribute", "arg") or (name, field) == (
                "alias",
                "name",
            ):
                parts.append('"%s":%s,%s' % (field, spelled, span))
            else:
                # Absent names have no places.
                lines.append(
                    "%s='\"%s\":null' if n.%s is None else f'\"%s\":%s,%s'"
                    % ("o" + field, field, field, field, spelled, span)
                )
                parts.append("{o%s}" % field)
        else:
            parts.append('"%s":%s' % (field, value_code(name, field, method, wide)))
            if (name, field) in NAME_LISTS and placed:
                parts.append('"%s_spans":{G(%s,0)}' % (field, NAME_LISTS[name, field]))
    if name == "Module":
        parts[0:1] = []
        template = ",".join(parts)
    else:
        template = ",".join(parts) + "}}"
    source = "def f(n):\n %s\n return f'''%s'''" % ("\n ".join(lines) or "pass", template)
    # Defined in the scope, so that its names are globals, whose look-ups CPython caches.
    exec(source, scope)
    function = scope.pop("f")
    setattr(cls, method, function)
    return function


def value_code(name, field, method, wide):
    """The code that formats one field, as part of an f-string."""
    get = "n." + field
    if field in ("ctx", "op"):
        return "{%s.o}" % get
    if field == "ops":
        return "[{','.join([x.o for x in %s])}]" % get
    if name in ("Global", "Nonlocal") or field == "kwd_attrs":
        return "[{','.join([Q(x) for x in %s])}]" % get
    if name == "Name" and field == "id":
        return "{Q(n.id)}" if wide else '"{n.id}"'
    if field in NUMBERS:
        return "{%s or 0}" % get
    if field == "body" and name in DOCUMENTED:
        return "[{D(n.body,%r)}]" % method
    if field in ("keys", "kw_defaults"):
        return "[{','.join(['null' if x is None else x.%s() for x in %s])}]" % (method, get)
    single = (field == "args" and name in ("FunctionDef", "AsyncFunctionDef", "Lambda")) or (
        field == "body" and name in ("Lambda", "IfExp", "Expression", "Interactive")
    )
    required = field in REQUIRED or (field == "value" and name in VALUE_REQUIRED)
    if single or required or (field == "orelse" and name == "IfExp"):
        return "{%s.%s()}" % (get, method)
    if field in LISTS:
        return "[{','.join([x.%s() for x in %s]) if %s else ''}]" % (method, get, get)
    return "{'null' if %s is None else G(%s,%d)}" % (get, get, wide)


def any_value(value, wide):
    """Formats a field by its value."""
    if isinstance(value, _ast.AST):
        operator = getattr(value, "o", None)
        return operator or (value.u() if wide else value.j())
    if isinstance(value, (list, tuple)):
        return "[%s]" % ",".join([any_value(each, wide) for each in value])
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return quote(str(value))


def body(statements, method):
    """Formats the body of a node that may have a docstring, and marks the docstring."""
    if not statements:
        return ""
    texts = [statement.j() for statement in statements] if method == "j" else [each.u() for each in statements]
    first = statements[0]
    if type(first) is _ast.Expr and type(first.value) is _ast.Constant and type(first.value.value) is str:
        head = '{"_type":"Expr"'
        texts[0] = '%s,"docstring":true%s' % (head, texts[0][len(head) :])
    return ",".join(texts)


def first_joined(n):
    """Formats the first f-string."""
    from .embedded import joined  # most sources have none

    _ast.JoinedStr.j = _ast.JoinedStr.u = joined
    return joined(n)


def keyword_attributes(n):
    """The places of the attributes' names in a class pattern."""
    source = scope["T"]
    at = end_of(n.patterns[-1] if n.patterns else n.cls)
    places = []
    for pattern in n.kwd_patterns:
        at = names.skip(source, at, "(),")
        places.append((at, names.name_end(source, at)))
        at = end_of(pattern)
    return places
