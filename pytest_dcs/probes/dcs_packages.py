"""Where Python has its packages, and which of them a compiled file belongs to.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar.
"""

import glob
import os
import re
import sys
import sysconfig

LIBRARY = re.compile(r"\.so(\.[\w.+-]+)?$")
"""How the name of a compiled file ends."""


class Owners:
    """Which package a file belongs to, by what pip has recorded."""

    def __init__(self, sites):
        self.sites = sites
        self.names = {}
        for site in sites:
            for record in glob.glob(os.path.join(glob.escape(site), "*.dist-info", "RECORD")):
                stem = os.path.basename(os.path.dirname(record))[: -len(".dist-info")]
                name = re.sub(r"[-_.]+", "-", stem.rpartition("-")[0]).lower()
                with open(record, encoding="utf-8", errors="replace") as lines:
                    for line in lines:
                        path = line.split(",")[0].strip('"')
                        if ".so" in path:
                            self.names[os.path.realpath(os.path.join(site, path))] = name

    def of(self, path):
        """Return a file's package, or else the first part of its path, and whether that is sure."""
        if path in self.names:
            return self.names[path], True
        for site in self.sites:
            inner = os.path.relpath(path, os.path.realpath(site))
            if not inner.startswith(os.pardir):
                return inner.split(os.sep)[0].partition(".")[0], False
        return os.path.basename(path), False


def sites():
    """Return the folders of packages that the interpreter searches.

    Its own library is not among them: whether that is whole, an import tells without this.
    """
    own = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    own |= {os.path.join(each, "lib-dynload") for each in own}
    return [each for each in sys.path if os.path.isdir(each) and each not in {*own, sys.path[0]}]
