"""Wheels that probes install to see where they go.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar.
"""

import os
import stat
import zipfile

from dcs_stages import last_line, need

PIP_INSTALL = ["-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check"]


def write_wheel(directory, module):
    """Write a wheel with one empty module, and return its path."""
    path = "%s/%s-1.0-py3-none-any.whl" % (directory, module)
    information = module + "-1.0.dist-info/"
    content = {
        module + ".py": "",
        information + "METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % module,
        information + "WHEEL": "Wheel-Version: 1.0\nGenerator: pytest-dcs\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = information + "RECORD"
    content[record] = "".join("%s,,\n" % name for name in [*content, record])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    os.chmod(path, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    return path


def require_inside(environment, path, printed):
    """Raise `AssertionError` unless a module was imported from an environment."""
    found = last_line(path)
    said = "; ".join(line for line in printed.splitlines()[-3:] if line.strip())
    is_inside = found.startswith(environment + "/")
    need(is_inside, "%s, not in %s; pip said: %s" % (found, environment, said))
