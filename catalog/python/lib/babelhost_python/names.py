"""Finds names that are not nodes of their own. All offsets are in characters; the source is valid Python."""

BLANKS = frozenset(" \t\f\\\r\n")


def skip(source, at, also=""):
    """The offset after blanks, continued lines, comments, and any characters of `also`."""
    while True:
        character = source[at]
        if character in BLANKS or character in also:
            at += 1
        elif character == "#":
            while source[at] not in "\r\n":
                at += 1
        else:
            return at


def name_end(source, at):
    """The end of the identifier that begins at an offset."""
    end = at
    length = len(source)
    while end < length and (source[end] == "_" or source[end].isalnum() or ("x" + source[end]).isidentifier()):
        end += 1
    return end


def name_start(source, end):
    """The start of the identifier that ends at an offset."""
    start = end
    while start > 0 and (source[start - 1] == "_" or ("x" + source[start - 1]).isidentifier()):
        start -= 1
    return start


def dotted_end(source, at):
    """The end of a dotted name; there may be blanks around its dots."""
    end = name_end(source, at)
    while True:
        dot = end
        while dot < len(source) and source[dot] in BLANKS:
            dot += 1
        if dot == len(source) or source[dot] != ".":
            return end
        end = name_end(source, skip(source, dot + 1))


def name_list(source, at, count):
    """The places of `count` names with commas between them."""
    spans = []
    for _ in range(count):
        at = skip(source, at, ",")
        end = name_end(source, at)
        spans.append((at, end))
        at = end
    return spans


def after_as(source, at):
    """The place of the name after the next `as`."""
    at = skip(source, skip(source, at, "),") + 2)
    return at, name_end(source, at)


def after_stars(source, at):
    """The place of the name after the next `*` or `**`."""
    at = skip(source, at, "*,()")
    return at, name_end(source, at)
