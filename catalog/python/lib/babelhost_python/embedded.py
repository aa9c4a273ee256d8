"""Formats f-strings for Pythons before 3.12, which give wrong places to the expressions in them.

The expressions are parsed again, each at its place in a source that is blank otherwise: of `f"{a}{b}{c}"` one pass
parses `( (a),  (c),`, another `(    (b),`. A comma is where the next field begins, as any other place may be a line
end; so every other field is left for the second pass. Fields of f-strings within these expressions are parsed in the
next round.
"""

import _ast

from .places import end_of, fields, offset_of, place, scope, spans
from .strings import Scanner

# On both sides of the number of a field whose expression is parsed later. JSON text has no null character.
MARK = "\0"
BLANK = bytes(byte if byte in b"\r\n" else 0x20 for byte in range(256))


def joined(n):
    """Formats an f-string."""
    start = offset_of(n.lineno, n.col_offset)
    end = end_of(n)
    spans.append((start, end))
    found = Scanner(scope["T"]).tokens(start, end)
    wide = not scope["T"].isascii()
    return joined_values(n, iter(found), place(start, end), wide)


def joined_values(n, found, string_place, wide):
    """Formats an f-string or a format specification, given the fields in it."""
    texts = []
    for value in n.values:
        if type(value) is not _ast.FormattedValue:
            texts.append(value.u() if wide else value.j())
            continue
        field = next(found, None)
        if field is None:
            raise ValueError("an f-string has fewer fields than its tree")
        mark = "%s%d%s" % (MARK, len(fields), MARK)
        fields.append(field)
        specification = "null"
        if value.format_spec is not None:
            specification = joined_values(value.format_spec, iter(field.nested), string_place, wide)
        texts.append(
            '{"_type":"FormattedValue",%s,"value":%s,"conversion":%d,"format_spec":%s}'
            % (place(field.start, field.end), mark, value.conversion, specification)
        )
    if next(found, None) is not None:
        raise ValueError("an f-string has more fields than its tree")
    return '{"_type":"JoinedStr",%s,"values":[%s]}' % (string_place, ",".join(texts))


def fill_in(text, source):
    """Replaces each field's mark by the text of its expression."""
    ascii_only = source.isascii()
    code = (source[1:] if source.startswith("\ufeff") else source).encode("utf-8")
    blank = bytearray(code.translate(BLANK))
    # The expressions are the elements of one tuple, which opens before the first f-string.
    blank[len(code) - len(code.lstrip(b"\r\n"))] = 0x28
    texts = []
    while len(texts) < len(fields):
        done = len(texts)
        texts.extend([None] * (len(fields) - done))
        order = sorted(range(done, len(fields)), key=lambda index: fields[index].start)
        starts = byte_offsets([fields[index].start for index in order], source)
        for first in (0, 1):
            chosen = order[first::2]
            if chosen:
                nodes = parse([fields[index] for index in chosen], starts[first:], source, blank)
                for index, node in zip(chosen, nodes):
                    texts[index] = node.j() if ascii_only else node.u()
    return insert(text, texts)


def byte_offsets(offsets, source):
    """Converts ascending offsets in characters to bytes, without a byte order mark."""
    previous = 1 if source.startswith("\ufeff") else 0
    byte = 0
    found = []
    for offset in offsets:
        byte += len(source[previous:offset].encode())
        previous = offset
        found.append(byte)
    return found


def parse(chosen, starts, source, blank):
    """Parses the expressions of every other field. `starts` has the byte offsets of all, the others too."""
    overlay = blank[:]
    for field, start in zip(chosen, starts[0::2]):
        expression = source[field.start + 1 : field.expression_end].encode()
        overlay[start : start + len(expression) + 2] = b"(%b)" % expression
    commas = starts[1::2]
    for comma in commas:
        overlay[comma] = 0x2C
    overlay += b"\n)" if len(commas) == len(chosen) else b"\n,)"
    return compile(bytes(overlay), "<source>", "eval", _ast.PyCF_ONLY_AST, True).body.elts


def insert(text, texts):
    """Replaces each mark, in the replacements too: f-strings nest no deeper than there are kinds of quotes."""
    pieces = text.split(MARK)
    for index in range(1, len(pieces), 2):
        pieces[index] = insert(texts[int(pieces[index])], texts)
    return "".join(pieces)
