"""The driver's loop: reads one request a line from stdin and writes one answer a line to stdout, until stdin ends."""

import gc
import posix
import sys
import _thread
import _warnings

from . import request, tree

# High enough that CPython's parser reaches its own limit of nesting first. The stack is address space: memory is only
# used for the part that a source needs.
RECURSION_LIMIT = 30_000
STACK_BYTES = 256 * 1024 * 1024
SMALLEST_STACK_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 256 * 1024
# After an answer of more bytes than this, memory is returned to the system, not held while idle.
LARGE_ANSWER = 8 * 1024 * 1024


def main():
    """Serves until the end of stdin. Returns the exit status."""
    output = claim_stdout()
    silence_warnings()
    # Trees have no cycles: reference counts free them. After an error, failure() collects.
    gc.disable()
    gc.freeze()
    status = []
    done = _thread.allocate_lock()
    done.acquire()

    def run():
        try:
            status.append(serve(0, output))
        finally:
            done.release()

    start(run)
    done.acquire()
    return status[0] if status else 1


def start(run):
    """Runs a function in a thread whose stack is as large as the limits on memory allow."""
    size = STACK_BYTES
    while True:
        # In proportion to the stack: deep recursion must raise an exception and not crash.
        sys.setrecursionlimit(RECURSION_LIMIT * size // STACK_BYTES)
        _thread.stack_size(size)
        try:
            _thread.start_new_thread(run, ())
            return
        except RuntimeError:
            if size <= SMALLEST_STACK_BYTES:
                raise
            size //= 2


def claim_stdout():
    """Returns a descriptor of stdout for the answers. What anything else prints goes to stderr."""
    output = posix.dup(1)
    posix.dup2(2, 1)
    return output


def silence_warnings():
    """Turns off warnings of doubtful escapes and the like. Without the module warnings, which is slow to load."""
    _warnings.filters.insert(0, ("ignore", None, Warning, None, 0))
    mutated = getattr(_warnings, "_filters_mutated", None) or getattr(_warnings, "_filters_mutated_lock_held", None)
    if mutated is not None and mutated.__name__ == "_filters_mutated":
        mutated()


def serve(stdin, stdout):
    """Answers each line read from one descriptor on the other. Returns the exit status."""
    pieces = []  # of a line that is not complete yet
    while True:
        block = read(stdin)
        if not block:
            break
        lines = block.split(b"\n")
        block = None
        pieces.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0] = b"".join(pieces)
        rest = lines.pop()
        pieces = [rest] if rest else []
        lines.reverse()
        large = False
        while lines:
            response = answer(lines.pop())
            large = large or sum(map(len, response)) > LARGE_ANSWER
            if not write(stdout, response):
                return 1
        response = None
        if large:
            release_memory()
    # The last line may lack its line end. A part of a request is answered as a broken request.
    if pieces and not write(stdout, answer(b"".join(pieces))):
        return 1
    return 0


def read(descriptor):
    """Reads at most a block; empty at the end."""
    while True:
        try:
            return posix.read(descriptor, BLOCK_BYTES)
        except BlockingIOError:  # the host may have opened it as non-blocking
            import select

            select.select([descriptor], [], [])


def write(descriptor, parts):
    """Writes all parts of a line. Returns False if the reader has closed its end."""
    rest = list(parts)
    while rest:
        try:
            count = posix.writev(descriptor, rest)
        except BrokenPipeError:
            return False
        except BlockingIOError:
            import select

            select.select([], [descriptor], [])
            continue
        while rest and count >= len(rest[0]):
            count -= len(rest.pop(0))
        if count:
            rest[0] = memoryview(rest[0])[count:]
    return True


def release_memory():
    """Has the C library return freed memory to the system, if it can (malloc_trim(3))."""
    try:
        import _ctypes

        trim = _ctypes.dlsym(_ctypes.dlopen(None, 0), "malloc_trim")
    except (ImportError, OSError):  # an interpreter without _ctypes, or a C library without malloc_trim
        return
    _ctypes.call_function(trim, (0,))


def answer(line):
    """The answer to a line, in parts, with its line end: joining them would copy the tree."""
    head = b"{"  # with the request's id, once that is known
    try:
        try:
            asked = request.decode(line)
            if "id" in asked:
                head = b'{"id":%s,' % request.quote(asked["id"]).encode("ascii")
            content = request.content(asked)
        except request.Broken as error:
            return failure(head, "fatal", {"message": str(error)})
        line = asked = None
        try:
            source = request.text(content)
            text = tree.convert(source)
        except request.NotText as error:
            return failure(head, "error", error.place)
        except SyntaxError as error:
            return failure(head, "error", syntax_error(error, source))
        except RecursionError:
            return failure(head, "error", {"message": "The source is nested too deeply for the parser."})
        return head, b'"status":"ok","errors":[],"ast":', text.encode("ascii"), b"}\n"
    except MemoryError:
        # CPython's parser raises it for too deep nesting too.
        return failure(head, "error", {"message": "The source is nested too deeply for the parser, or too large for its memory."})
    except Exception as error:
        return failure(head, "error", {"message": "The parser failed: %s: %s" % (type(error).__name__, error)})


def syntax_error(error, source):
    """A SyntaxError in the protocol's form: line and column from 1, in characters, and the offset from 0."""
    starts = tree.line_starts(source)
    line = min(max(error.lineno or 1, 1), len(starts) - 1)
    limit = starts[line + 1] if line + 1 < len(starts) else len(source)
    column = max(error.offset or 1, 1)
    offset = min(starts[line] + column - 1, limit)
    first = 1 if line == 1 and source.startswith("\ufeff") else 0
    return {"message": error.msg, "line": line, "column": offset - starts[line] + 1 + first, "offset": offset}


def failure(head, status, error):
    """An answer without a tree, after its head."""
    gc.collect()
    members = ",".join(
        "%s:%s" % (request.quote(key), value if isinstance(value, int) else request.quote(str(value)))
        for key, value in error.items()
    )
    return head, ('"status":"%s","errors":[{%s}],"ast":null}\n' % (status, members)).encode("ascii")
