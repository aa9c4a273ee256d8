"""Formats constants as JSON: values that JSON cannot have are text, and `value_type` names their type."""

from .places import offset_of, scope, spans
from .request import quote

# Integers up to this are exact in every reader of JSON.
LARGEST_EXACT = 2**53
# Decimal text takes time quadratic in its length: with more bits than this (4,300 digits) it is hexadecimal.
DECIMAL_BITS = 14_000


def constant_narrow(n):
    """Formats a Constant of a source in ASCII."""
    line = n.lineno
    column = n.col_offset
    end_line = n.end_lineno
    end_column = n.end_col_offset
    starts = scope["S"]
    return constant(n, line, column, end_line, end_column, starts[line] + column, starts[end_line] + end_column)


def constant_wide(n):
    """Formats a Constant of another source."""
    line = n.lineno
    column = n.col_offset
    end_line = n.end_lineno
    end_column = n.end_col_offset
    return constant(n, line, column, end_line, end_column, offset_of(line, column), offset_of(end_line, end_column))


def constant(n, line, column, end_line, end_column, start, end):
    """Formats a Constant."""
    value = n.value
    kind = type(value)
    if kind is str:
        spans.append((start, end))
        text = quote(value)
    elif kind is int:
        if value <= LARGEST_EXACT:
            text = value
        else:
            text = '"%d"' % value if value.bit_length() <= DECIMAL_BITS else '"0x%x"' % value
    elif value is None:
        text = "null"
    elif value is True:
        text = "true"
    elif value is False:
        text = "false"
    elif kind is bytes:
        spans.append((start, end))
        text = quote(value.decode("latin-1"))
    elif kind is float:
        text = real(value)
    elif kind is complex:
        text = '{"real":%s,"imag":%s}' % (real(value.real), real(value.imag))
    else:
        text = '"..."'
    numbers = scope["I"]
    return (
        f'{{"_type":"Constant","lineno":{numbers[line]},"col_offset":{numbers[column]},"end_lineno":{numbers[end_line]}'
        f',"end_col_offset":{numbers[end_column]},"start":{start},"end":{end},"value_type":"{kind.__name__}"'
        f',"value":{text},"kind":{"null" if n.kind is None else quote(n.kind)}}}'
    )


def real(value):
    """Formats a float; literals are never negative and never NaN."""
    return '"inf"' if value == float("inf") else repr(value)
