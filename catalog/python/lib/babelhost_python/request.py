"""Decodes a request line, and its content into text. Uses no module that is written in Python: they load slowly."""

try:
    from _json import encode_basestring_ascii as quote, make_scanner
except ImportError:  # an interpreter without CPython's accelerators
    from json.encoder import encode_basestring_ascii as quote
    from json.scanner import make_scanner


class Broken(Exception):
    """A request that violates the native protocol."""


class NotText(Exception):
    """Content that cannot be decoded, and the place of the error."""

    def __init__(self, **place):
        super().__init__(place["message"])
        self.place = place


def refuse(_):
    raise ValueError


class Settings:
    """The members of a JSONDecoder that make_scanner uses: strict JSON, without NaN and Infinity."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = float  # no limit on digits, no time quadratic in them
    parse_constant = staticmethod(refuse)
    memo = {}


def make_scan():
    """The function that parses JSON text. The scanner in Python needs more members than Settings has."""
    try:
        return make_scanner(Settings)
    except AttributeError:
        from json import JSONDecoder

        return JSONDecoder().scan_once


scan = make_scan()


def decode(line):
    """A request as a dict. Raises Broken."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise Broken("The request is not UTF-8.") from None
    text = text.strip(" \t\r")
    try:
        value, end = scan(text, 0)
    except RecursionError:
        raise Broken("The request is nested too deeply.") from None
    except (StopIteration, ValueError, SystemError, ImportError):
        # The C scanner needs the module json for its error, and raises others if that is not loaded.
        raise Broken("The request is not JSON.") from None
    if end != len(text):
        raise Broken("The request is not JSON.")
    if type(value) is not dict:
        raise Broken("The request is not a JSON object.")
    if type(value.get("id", "")) is not str:
        raise Broken('The request\'s "id" is not a string.')
    return value


def content(value):
    """The content of a request: a str, or bytes if it is in base64. Raises Broken."""
    content = value.get("content")
    if type(content) is not str:
        raise Broken('The request\'s "content" is not a string.')
    encoding = value.get("encoding", "utf8")
    encoding = encoding.lower() if type(encoding) is str else None
    if encoding in ("utf8", "utf-8"):
        return content
    if encoding != "base64":
        raise Broken('The request\'s "encoding" is neither "utf8" nor "base64".')
    return from_base64(content)


def from_base64(content):
    """Decodes base64 strictly. Raises Broken."""
    from binascii import a2b_base64, b2a_base64

    try:
        data = a2b_base64(content)
        if b2a_base64(data, newline=False) == content.encode("ascii"):
            return data
    except ValueError:
        pass
    raise Broken('The request\'s "content" is not base64.')


def text(content):
    """
    The source text of a request's content. Bytes are decoded as Python reads a file: by a byte order mark or by a coding
    declaration in the first two lines (PEP 263), else as UTF-8. Raises NotText.
    """
    if type(content) is bytes:
        content = decode_file(content)
    offset = content.find("\0")
    if offset >= 0:
        raise NotText(message="The source contains a null character.", **place(content, offset))
    if not content.isascii():
        try:
            content.encode("utf-8")
        except UnicodeEncodeError as error:
            raise NotText(
                message="The source contains half of a surrogate pair, which is no character.",
                **place(content, error.start)
            ) from None
    return content


def place(content, offset):
    """The line and column (from 1) of an offset."""
    before = content[:offset].replace("\r\n", " \n").replace("\r", "\n")
    return {"line": before.count("\n") + 1, "column": offset - before.rfind("\n"), "offset": offset}


def decode_file(data):
    """Decodes the bytes of a file. Raises NotText."""
    name = declared(data)
    marked = data.startswith(b"\xef\xbb\xbf")
    if marked and name is not None and name.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        raise NotText(message="The file begins with the mark of UTF-8, but declares its encoding as %s." % name)
    if name is None or marked:
        name = "utf-8"
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = "The content is not %s (byte %d)." % (name, error.start)
        raise NotText(message=message, line=line, byte=error.start) from None
    except LookupError:
        raise NotText(message="The declared encoding %s is unknown." % name, line=1) from None
    except Exception as error:  # some codecs have errors of their own
        raise NotText(message="The content is not %s: %s" % (name, error)) from None


def declared(data):
    """The encoding that one of the first two lines declares, or None."""
    if b"coding" not in data[:8192]:
        return None
    for line in data[:8192].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:2]:
        line = line[3:] if line.startswith(b"\xef\xbb\xbf") else line
        stripped = line.lstrip(b" \t\f")
        if stripped and not stripped.startswith(b"#"):
            return None  # PEP 263: the first line may only be a comment or blank
        name = coding(stripped)
        if name is not None:
            return name
    return None


def coding(comment):
    """The name after the first "coding:" or "coding=" of a comment, or None."""
    at = 0
    while True:
        at = comment.find(b"coding", at)
        if at < 0:
            return None
        at += 6
        if comment[at : at + 1] in (b":", b"="):
            rest = comment[at + 1 :].lstrip(b" \t")
            size = 0
            while size < len(rest) and (rest[size : size + 1].isalnum() or rest[size] in b"-_."):
                size += 1
            if size > 0:
                return rest[:size].decode("ascii")
