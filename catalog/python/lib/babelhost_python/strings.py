"""Finds the ends of string tokens in source text, the replacement fields of f-strings, and comments.

The text is valid Python, and each search begins at a token that CPython has found, so the rest of the grammar does
not matter here.
"""

LETTERS = frozenset("rRbBuUfFtT")
BLANKS = frozenset(" \t\f\\\r\n")


class Field:
    """A replacement field: `{start … end}`, the end of its expression, and the fields in its format specification."""

    __slots__ = ("start", "end", "expression_end", "nested")

    def __init__(self, start):
        self.start = start
        self.nested = []


class Scanner:
    """Scans string tokens of one source, and collects the fields and comments in them."""

    def __init__(self, source):
        self.source = source
        self.comments = []

    def tokens(self, start, end):
        """Passes over adjacent string tokens between two offsets. Returns the fields of those that are f-strings."""
        source = self.source
        fields = []
        at = start
        while at < end:
            if source[at] in BLANKS:
                at += 1
            elif source[at] == "#":
                at = self.comment(at)
            else:
                at = self.token(at, fields)
        return fields

    def comment(self, at):
        """Passes over a comment. Returns where its line ends."""
        end = line_end(self.source, at)
        self.comments.append((at, end))
        return end

    def token(self, at, fields):
        """Passes over a string token, prefix included. Returns its end."""
        source = self.source
        formatted = raw = False
        while source[at] in LETTERS:
            formatted = formatted or source[at] in "fFtT"
            raw = raw or source[at] in "rR"
            at += 1
        quote = source[at]
        if source.startswith(quote * 3, at):
            quote *= 3
        at += len(quote)
        if formatted:
            return self.formatted(at, quote, raw, fields)
        while True:
            at = source.index(quote, at)
            backslash = at
            while source[backslash - 1] == "\\":
                backslash -= 1
            if (at - backslash) % 2 == 0:
                return at + len(quote)
            at += 1

    def formatted(self, at, quote, raw, fields):
        """Passes over the rest of an f-string. Returns its end."""
        source = self.source
        while True:
            character = source[at]
            if character == "{":
                at = at + 2 if source[at + 1] == "{" else self.field(at, raw, fields)
            elif character == "\\":
                at = self.escape(at, raw)
            elif character == quote[0] and source.startswith(quote, at):
                return at + len(quote)
            else:
                at += 1

    def escape(self, at, raw):
        """Passes over a backslash and what it escapes; a brace after it still opens a field."""
        following = self.source[at + 1]
        if following in "{}":
            return at + 1
        if following == "N" and not raw and self.source[at + 2] == "{":
            return self.source.index("}", at) + 1
        return at + 2

    def field(self, at, raw, fields):
        """Passes over a replacement field. Returns its end."""
        source = self.source
        field = Field(at)
        fields.append(field)
        at += 1
        depth = 0
        while True:
            character = source[at]
            if character in "\"'":
                while source[at - 1] in LETTERS:
                    at -= 1
                at = self.token(at, [])
            elif character in "([{":
                depth += 1
                at += 1
            elif depth and character in ")]}":
                depth -= 1
                at += 1
            elif character == "#":
                at = self.comment(at)
            elif depth or character not in "}!:=<>":
                at += 1
            elif character in "!=<>" and source[at + 1] == "=":
                at += 2
            elif character in "<>":
                at += 1
            else:
                break
        field.expression_end = at
        while source[at] not in ":}":
            at += 1
        if source[at] == ":":
            at += 1
            while source[at] != "}":
                if source[at] == "{":
                    at = self.field(at, raw, field.nested)
                elif source[at] == "\\":
                    at = self.escape(at, raw)
                else:
                    at += 1
        field.end = at + 1
        return field.end


def line_end(source, at):
    """The end of the line of an offset, without its line end characters."""
    end = source.find("\n", at)
    if end < 0:
        end = len(source)
    carriage = source.find("\r", at, end)
    return end if carriage < 0 else carriage


def find_comments(source, spans):
    """
    The (start, end) of each comment. `spans` are the places of all string nodes, in any order, doubled or not: a `#`
    outside them begins a comment; within them, one between adjacent string tokens does, or one within a field.
    """
    found = []
    hash_sign = source.find("#")
    if hash_sign < 0:
        return found
    spans = sorted(spans)
    index = 0
    count = len(spans)
    scanner = None
    while hash_sign >= 0:
        while index < count and spans[index][1] <= hash_sign:
            index += 1
        if index < count and spans[index][0] <= hash_sign:
            start, end = spans[index]
            if scanner is None:
                scanner = Scanner(source)
                scanner.comments = found
            scanner.tokens(start, end)
        else:
            end = line_end(source, hash_sign)
            found.append((hash_sign, end))
        hash_sign = source.find("#", end)
    return found
