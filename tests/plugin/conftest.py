"""A run of pytest inside a test, with an engine that has images but starts no container."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

# A run inside a test drops the modules that it was the first to import, and would then see two of
# some; so all are imported here.
from pytest_dcs import collect, plan, rules
from pytest_dcs.report import pages, terminal

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = '''
import pytest
from pytest_dcs import errors, stash
from pytest_dcs.engines import LaunchFailed
from pytest_dcs.image import Image, ImageConfig

GOOD = dict(environment={"PYSPARK_PYTHON": "/databricks/python3/bin/python3", "USER": "root"})
CONFIGS = {
    "good:1": GOOD,
    "labelled:1": {**GOOD, "labels": {"pytest-dcs.runtime": "14.3"}},
    "user:1": {**GOOD, "user": "1000"},
    "entrypoint:1": {**GOOD, "entrypoint": ("/usr/bin/tini", "--", "/serve.sh")},
    "arm:1": {**GOOD, "architecture": "arm64"},
}


class ImagesOnly:
    """Has images, and can start none of them."""

    emulated = False

    def resolve(self, reference, pull):
        if reference not in CONFIGS:
            raise errors.ImageNotFound(reference, "no such image")
        return Image(reference, "sha256:" + "1f3c" * 16, ImageConfig(**CONFIGS[reference]))

    def launch(self, image, spec):
        raise LaunchFailed('exec: "/bin/sh": no such file or directory')

    def fill_volume(self, name, image, tar):
        pass

    def close(self):
        pass


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.stash[stash.ENGINE] = ImagesOnly()
'''

PRELOADED = (collect, plan, pages, terminal, rules.catalogue())

STATIC = ("--dcs-select=IMG", "--dcs-runtime=15.4")
"""Rules that need no container."""


@pytest.fixture
def dcs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a pytester whose runs have the engine above and an empty folder."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    pytester.makeconftest(ENGINE)
    return pytester


def junit_properties(path: Path) -> dict[str, dict[str, str]]:
    """Return the properties of each test case of a JUnit file, by the test's name."""
    cases = ET.parse(path).getroot().iter("testcase")
    return {
        case.attrib["name"]: {
            each.attrib["name"]: each.attrib["value"] for each in case.iter("property")
        }
        for case in cases
    }
