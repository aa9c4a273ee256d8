"""Compiles the modules that the driver loads at its start, for a quick start.

    /usr/bin/python3 prepare.py FOLDER

The bytecode goes to its places in the image, below FOLDER; the recipe takes it from build/. It has a hash of its source
(PEP 552), by which Python sees whether it is current: all files of an image have the same time.
"""

import encodings
import importlib.util
import os
import py_compile
import sys

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "babelhost_python")
CODECS = os.path.dirname(encodings.__file__)


def compile_to(folder, source, place):
    """Compiles a source for the place that it has in the image."""
    target = importlib.util.cache_from_source(place)
    os.makedirs(folder + os.path.dirname(target), exist_ok=True)
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(source, folder + target, place, doraise=True, invalidation_mode=mode)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: prepare.py FOLDER")
    folder = os.path.abspath(sys.argv[1])
    for name in sorted(os.listdir(DRIVER)):
        if name.endswith(".py"):
            compile_to(folder, os.path.join(DRIVER, name), "/opt/driver/lib/babelhost_python/" + name)
    for name in ("__init__.py", "aliases.py", "utf_8.py", "latin_1.py", "ascii.py"):
        source = os.path.join(CODECS, name)
        compile_to(folder, source, source)


main()
