"""From source text to the JSON text of CPython's tree.

Each class of node has a method that formats a node in one expression, generated when the first such node is met: that
is several times as fast as any walk over fields. `j` is for sources in ASCII, where bytes are characters, `u` for others.
"""

import _ast
from _operator import add
from itertools import accumulate, count

from . import nodes, places
from .request import quote
from .strings import find_comments

# Line and column numbers up to this are kept as text; it is more than nearly all sources have.
MOST_NUMBERS = 20_000


class Numbers:
    """The text of any number, for sources with more lines, or longer ones, than most."""

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
    """Makes the nodes' functions refer to a source."""
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
    """The offset at which each line starts, by its number; index 0 is 0. Lines end as CPython's tokenizer has it."""
    if "\r" in source:
        # CRLF is one line end and a lone CR is one; the length must stay.
        source = source.replace("\r\n", "\0\n").replace("\r", "\n")
    starts = list(map(add, accumulate(map(len, source.split("\n"))), count(1)))
    starts.pop()
    # CPython does not count a byte order mark into the first line's columns.
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
