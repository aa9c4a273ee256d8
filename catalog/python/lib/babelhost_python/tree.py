"""Converts source text to the JSON text of CPython's tree.

Each class of node has a method that formats a node in one expression, generated at the first such node: this is several
times as fast as a walk over fields. `j` is for sources in ASCII, where bytes are characters, `u` for others.
"""

import _ast
from _operator import add
from itertools import accumulate, count

from . import nodes, places
from .request import quote
from .strings import find_comments

# The text of line and column numbers up to this is kept. Few sources have larger ones.
MOST_NUMBERS = 20_000


class Numbers:
    """Instead of kept_numbers, for sources with more lines, or longer ones."""

    __getitem__ = staticmethod(str)


kept_numbers = []
nodes.install()


def convert(source):
    """The JSON text of a source's tree; ASCII throughout. Raises SyntaxError, RecursionError and MemoryError."""
    text = source[1:] if source.startswith("\ufeff") else source
    module = compile(text, "<source>", "exec", _ast.PyCF_ONLY_AST, True)
    starts = line_starts(source)
    try:
        use(source, starts, {} if source.isascii() else wide_lines(source, starts))
        text = module.j() if source.isascii() else module.u()
        module = None
        if places.fields:
            from .embedded import fill_in

            text = fill_in(text, source)
        return '{"_type":"Module",%s,"comments":[%s]}' % (text, comments(source))
    finally:
        use("", [0, 0], {})


def use(source, starts, wide):
    """Sets the source that the nodes' functions refer to."""
    places.spans.clear()
    places.fields.clear()
    scope = places.scope
    scope["S"] = starts
    scope["M"] = wide
    scope["T"] = source
    scope["F"] = source.find
    # Columns are in bytes: at most four for each character of the longest line.
    longest = max(map(int.__sub__, starts[1:] + [len(source)], starts)) * (4 if wide else 1)
    most = max(longest, len(starts)) + 1
    if most > MOST_NUMBERS:
        scope["I"] = Numbers()
    else:
        kept_numbers.extend(map(str, range(len(kept_numbers), most)))
        scope["I"] = kept_numbers


def line_starts(source):
    """The offset of each line, by its number; index 0 is 0. Lines end as for CPython's tokenizer."""
    if "\r" in source:
        # CRLF and a lone CR are one line end each. The length must not change.
        source = source.replace("\r\n", "\0\n").replace("\r", "\n")
    starts = list(map(add, accumulate(map(len, source.split("\n"))), count(1)))
    starts.pop()
    # CPython's columns in the first line do not count a byte order mark.
    return [0, 1 if source.startswith("\ufeff") else 0] + starts


def wide_lines(source, starts):
    """For each line that is not ASCII, the offset of each byte column where a character starts or the line ends."""
    wide = {}
    for line, (start, end) in enumerate(zip(starts[1:], starts[2:] + [len(source)]), 1):
        text = source[start:end]
        if not text.isascii():
            column = 0
            columns = {0: start}
            for offset, character in enumerate(text, start + 1):
                column += (
                    1 if character < "\x80" else 2 if character < "\u0800" else 3 if character < "\U00010000" else 4
                )
                columns[column] = offset
            wide[line] = columns
    return wide


def comments(source):
    """The JSON text of all comments."""
    return ",".join(
        [
            '{"_type":"Comment",%s,"value":%s}' % (places.place(start, end), quote(source[start:end]))
            for start, end in find_comments(source, places.spans)
        ]
    )
