"""The current source and places in it: columns in bytes, as CPython has them, and offsets in characters."""

from .request import quote

try:
    from _bisect import bisect_right
except ImportError:
    from bisect import bisect_right

# The globals of the generated functions. Those up to F are set for each source; nodes.py adds more.
scope = {
    "S": [],  # line number → offset of its start
    "M": {},  # line number → {column in bytes: offset}, for lines that are not ASCII
    "I": [],  # number → its text
    "T": "",  # the source
    "F": "".find,
    "Q": quote,
}
# The places of all strings.
spans = []
# The fields of f-strings whose expressions are parsed again: see embedded.py.
fields = []


def offset_of(line, column):
    """The offset of a line's column in bytes."""
    columns = scope["M"].get(line)
    return scope["S"][line] + column if columns is None else columns[column]


def end_of(n):
    """The offset of a node's end."""
    return offset_of(n.end_lineno, n.end_col_offset)


def place(start, end):
    """The members of a node that tell its place, by its offsets."""
    starts = scope["S"]
    source = scope["T"]
    line = bisect_right(starts, start, 1) - 1
    end_line = bisect_right(starts, end, 1) - 1
    column = start - starts[line]
    end_column = end - starts[end_line]
    if scope["M"]:
        column = len(source[starts[line] : start].encode())
        end_column = len(source[starts[end_line] : end].encode())
    return (
        f'"lineno":{line},"col_offset":{column},"end_lineno":{end_line},"end_col_offset":{end_column}'
        f',"start":{start},"end":{end}'
    )
