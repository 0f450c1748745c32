"""An image beside the official one: what is compared, what is shown first, what is never shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dcs import comparison, runtimes
from pytest_dcs.comparison import Comparison, Row
from pytest_dcs.image import ImageConfig
from pytest_dcs.inventory import Inventory, Java, OsRelease, Python
from pytest_dcs.report.comparison import lines_of
from tests.conformance.official import OfficialImage, official_images

RUNTIME = runtimes.load().find("15.4")
PYTHON = frozenset({"jvm", "python"})
CONFIG = ImageConfig(environment={**RUNTIME.environment, "PATH": "/bin"})


def seen_with(**packages: str) -> Inventory:
    """Return what the official image would show, with other packages."""
    everything = {**RUNTIME.pins, **{name.replace("_", "-"): v for name, v in packages.items()}}
    return Inventory(
        os=OsRelease("ubuntu", "22.04"),
        java=Java("/usr/lib/jvm/zulu8", 8, "1.8.0_412"),
        python=Python(
            executable="/databricks/python3/bin/python",
            version="3.11.11",
            release_level="final",
            prefix="/databricks/python3",
            packages={name: version for name, version in everything.items() if version},
        ),
    )


def compared(seen: Inventory, config: ImageConfig = CONFIG) -> Comparison:
    made = comparison.compare(RUNTIME, config, seen, PYTHON)
    assert made is not None
    return made


def shown(made: Comparison, *, whole: bool = False) -> str:
    return "\n".join(lines_of(made, "15.4", whole=whole))


def test_the_official_image_shows_no_difference() -> None:
    made = compared(seen_with())
    assert made == Comparison((), len(RUNTIME.pins))
    assert shown(made) == "beside the official image of 15.4: no difference"


@pytest.mark.parametrize(
    "official", [each for each in official_images() if "gpu" not in each.name], ids=str
)
def test_an_official_image_has_no_package_in_another_version(official: OfficialImage) -> None:
    catalogue = runtimes.load()
    runtime, features = catalogue.find(official.runtime), catalogue.features(official.profile)
    made = comparison.compare(runtime, official.image.config, official.inventory, features)
    assert made is not None
    assert [row for row in made.of_kind("package") if row.mine and row.official] == []
    assert made.of_kind("python") == ()


def test_missing_more_and_other_versions_are_told_apart() -> None:
    made = compared(seen_with(numpy="2.1.3", pandas="", tabulate="0.9.0"))
    assert made.rows == (
        Row("package", "numpy", "2.1.3", "1.23.5"),
        Row("package", "pandas", "", "1.5.3"),
        Row("package", "tabulate", "0.9.0", ""),
    )
    assert made.same_packages == len(RUNTIME.pins) - 2
    lines = shown(made)
    assert "1 in another version, 1 missing, 1 more" in lines
    assert "numpy  2.1.3  official 1.23.5" in lines


def test_system_java_and_python_are_compared() -> None:
    seen = seen_with()
    assert seen.python is not None
    other = replace(
        seen,
        os=OsRelease("debian", "12"),
        java=Java("/usr/lib/jvm/17", 17, "17.0.12"),
        python=replace(seen.python, version="3.12.3"),
    )
    assert compared(other).rows[:3] == (
        Row("system", "system", "debian 12", "ubuntu 22.04"),
        Row("java", "java", "17.0.12", "8, JNAME selects 17"),
        Row("python", "python", "3.12.3", "3.11"),
    )


def test_variables_of_the_image_alone_are_named_without_their_values() -> None:
    environment = {"PATH": "/bin", "LANG": "en_US.UTF-8", "API_TOKEN": "not-a-token"}
    made = compared(seen_with(), ImageConfig(environment=environment))
    assert made.rows == (
        Row("variable", "LANG", "en_US.UTF-8", "C.UTF-8"),
        Row("variable", "LC_ALL", "", "C.UTF-8"),
        Row("variable", "API_TOKEN", "set", ""),
    )
    for whole in (False, True):
        assert "not-a-token" not in shown(made, whole=whole)
        assert "API_TOKEN" in shown(made, whole=whole)


def test_telling_packages_come_first_and_then_those_that_are_far() -> None:
    made = compared(
        seen_with(click="8.1.0", boto3="2.0.0", ipykernel="6.25.2", blinker="1.5", six="1.16.1",
                  black="24.0.0", isodate="0.7.0")
    )  # fmt: skip
    names = [line.split()[0] for line in shown(made).splitlines()[2:-1]]
    assert names == ["ipykernel", "black", "boto3", "blinker", "click", "isodate"]
    assert shown(made).endswith("the whole table: -v")
    assert "six" in shown(made, whole=True)


def test_what_is_not_known_is_not_compared() -> None:
    assert compared(Inventory()) == Comparison((), None)
    only_java = comparison.compare(RUNTIME, CONFIG, seen_with(numpy=""), frozenset({"jvm"}))
    assert only_java == Comparison((), None)
    assert "packages" not in shown(compared(Inventory()))


@pytest.mark.parametrize("version", ["14.2", "18", "19"])
def test_a_runtime_without_an_official_image_is_not_compared(version: str) -> None:
    runtime = runtimes.load().find(version)
    assert comparison.compare(runtime, CONFIG, seen_with(), PYTHON) is None


@pytest.mark.parametrize("version", ["9.1", "12.2", "15.4", "16.4", "17.3"])
def test_runtimes_with_an_official_image_are(version: str) -> None:
    assert comparison.has_official_image(runtimes.load().find(version))


def test_a_comparison_travels_as_plain_data() -> None:
    made = compared(seen_with(numpy="2.1.3"))
    assert Comparison.from_plain(made.to_plain()) == made
