"""What is known of runtimes, and what users may add to it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors, runtimes

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = [
    "7.3",
    "9.1",
    "10.4",
    "11.3",
    "12.2",
    "13.3",
    "14.1",
    "14.2",
    "14.3",
    "15.1",
    "15.2",
    "15.3",
    "15.4",
    "16.1",
    "16.4",
    "17.0",
    "17.1",
    "17.2",
    "17.3",
    "18.0",
    "18",
    "19",
]
TODAY = datetime.date(2026, 11, 23)


@pytest.fixture(scope="module")
def catalogue() -> runtimes.Catalogue:
    return runtimes.load()


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    return tmp_path / "dcs-runtimes.toml"


def test_all_runtimes_are_there_and_the_newest_is_last(catalogue: runtimes.Catalogue) -> None:
    assert list(catalogue.runtimes) == SHIPPED


@pytest.mark.parametrize("version", SHIPPED)
def test_every_runtime_names_its_sources(catalogue: runtimes.Catalogue, version: str) -> None:
    sources = catalogue.runtimes[version].sources

    assert sources
    assert all(source.startswith("https://") for source in sources)


@pytest.mark.parametrize("version", SHIPPED)
def test_the_injected_spark_has_the_minor_version_of_the_runtime(
    catalogue: runtimes.Catalogue, version: str
) -> None:
    runtime = catalogue.runtimes[version]
    spark = runtime.spark or "3.5"  # of 16.1 only the minor version is known

    assert runtime.pyspark.split(".")[:2] == spark.split(".")[:2]


def test_a_runtime_knows_what_its_official_image_pins(catalogue: runtimes.Catalogue) -> None:
    runtime = catalogue.find("15.4")

    assert runtime.pins["grpcio"] == "1.60.0"
    assert runtime.environment == {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    assert "jinja2" not in runtime.pins
    assert (runtime.python, runtime.java, runtime.java_selectable) == ("3.11", 8, (17,))


def test_what_no_source_says_is_left_unknown(catalogue: runtimes.Catalogue) -> None:
    assert catalogue.find("14.1").python is None
    assert catalogue.find("16.1").spark is None
    assert catalogue.find("7.3").end_of_support is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("15.4", "15.4"),
        ("15.4-lts", "15.4"),
        ("15.4-LTS", "15.4"),
        (" 15.4 LTS ", "15.4"),
        ("15.4.x", "15.4"),
        ("15.4.x-scala2.12", "15.4"),
        ("16.4.x-scala2.13", "16.4"),
        ("17.2", "17.2"),
        ("18", "18"),
        ("18.x-scala2.13", "18"),
        ("18.3-LTS", "18"),
        ("18.0", "18.0"),
        ("19.x", "19"),
    ],
)
def test_a_runtime_is_found_by_all_its_names(
    catalogue: runtimes.Catalogue, text: str, version: str
) -> None:
    assert catalogue.find(text).version == version


@pytest.mark.parametrize(
    "text", ["15", "15.9", "15.4.x-scala2.13", "17.2-lts", "ml", "", "20.x-cpu-ml-scala2.13"]
)
def test_an_unknown_runtime_is_answered_with_the_known_ones(
    catalogue: runtimes.Catalogue, text: str
) -> None:
    with pytest.raises(errors.UnknownRuntime, match=r"Known: 7\.3, 9\.1, .*, 18, 19\."):
        catalogue.find(text)


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        ("15.4.x-cpu-ml-scala2.12", "15.4.x-scala2.12"),
        ("16.4.x-gpu-ml-scala2.13", "16.4.x-scala2.13"),
        ("18.x-gpu-ml-scala2.13", "18.x-scala2.13"),
        ("15.4-ml", "15.4"),
        ("15.4 LTS ML", "15.4"),
    ],
)
def test_a_machine_learning_runtime_is_refused_with_the_standard_one(
    catalogue: runtimes.Catalogue, text: str, standard: str
) -> None:
    with pytest.raises(errors.MachineLearningRuntime, match=f"--dcs-runtime={standard}$"):
        catalogue.find(text)


def test_the_long_lived_line_of_a_major_version_comes_after_its_minors(
    catalogue: runtimes.Catalogue,
) -> None:
    assert catalogue.find("18.0") < catalogue.find("18") < catalogue.find("19")


def test_profiles_unite_their_features(catalogue: runtimes.Catalogue) -> None:
    assert catalogue.features("minimal") == {"jvm"}
    assert catalogue.features("python, gpu") == {"jvm", "python", "lsp", "virtualenv", "gpu"}
    assert catalogue.features("standard") - catalogue.features("python") == {"fuse", "ssh"}


@pytest.mark.parametrize("profile", ["pyhton", "python,", ""])
def test_an_unknown_profile_is_answered_with_the_known_ones(
    catalogue: runtimes.Catalogue, profile: str
) -> None:
    with pytest.raises(errors.UnknownProfile, match="Known: minimal, python, dbfsfuse, standard"):
        catalogue.features(profile)


@pytest.mark.parametrize(
    ("need", "version", "answer"),
    [
        ("acl", "12.2", False),
        ("acl", "13.3", True),
        ("acl", "19", True),
        ("lsp", "11.3", False),
        ("lsp", "12.2", True),
        ("lsp", "18", True),
        ("lsp", "19", None),
        ("utf8", "14.3", False),
        ("utf8", "15.3", None),
        ("utf8", "15.4", True),
        ("conda_environment", "7.3", True),
        ("conda_environment", "9.1", False),
        ("no_conda", "7.3", False),
    ],
)
def test_a_runtime_has_a_need_or_has_it_not_or_nobody_knows(
    catalogue: runtimes.Catalogue, need: str, version: str, answer: bool | None
) -> None:
    assert catalogue.needs[need].of(catalogue.find(version)) is answer


def test_every_need_says_why_and_where_that_is_from(catalogue: runtimes.Catalogue) -> None:
    for need in catalogue.needs.values():
        assert need.why.endswith("."), need.name
        assert need.sources, need.name


@pytest.mark.parametrize(
    ("python", "java", "version"),
    [
        ("3.11", 8, "15.4"),
        ("3.12", 21, "18"),
        ("3.12", 17, "17.3"),  # not 18, where JNAME would have to select it
        ("3.11", 17, "15.4"),  # selected by JNAME, for want of a runtime that has it by default
        ("3.10", None, "14.3"),
        (None, 17, "17.3"),
        ("3.7", 8, None),
        ("3.14", 21, None),
        (None, None, None),
    ],
)
def test_a_guess_is_the_newest_supported_lts_runtime_that_fits(
    catalogue: runtimes.Catalogue, python: str | None, java: int | None, version: str | None
) -> None:
    guess = catalogue.guess(python, java, today=TODAY)

    assert (guess and guess.version) == version


def test_a_guess_passes_over_runtimes_whose_support_has_ended(
    catalogue: runtimes.Catalogue,
) -> None:
    assert catalogue.guess("3.10", 8, today=datetime.date(2030, 1, 1)) is None


def test_a_guess_passes_over_runtimes_without_long_term_support(user_file: Path) -> None:
    user_file.write_text(
        """
        [runtime."20.1"]
        name = "20.1"
        pyspark = "4.2.1"
        python = "3.12"
        java = 21
        end_of_support = 2027-06-01
        """
    )
    guess = runtimes.load(user_file).guess("3.12", 21, today=TODAY)

    assert guess is not None
    assert guess.version == "18"


def test_a_file_of_the_users_adds_a_runtime(user_file: Path) -> None:
    user_file.write_text(
        """
        [runtime."20.1"]
        name = "20.1"
        pyspark = "4.2.1"
        python = "3.13"
        java = 21
        released = 2027-01-20
        pins = { numpy = "2.4.0" }
        """
    )
    catalogue = runtimes.load(user_file)

    added = catalogue.find("20.1")
    assert (added.python, added.java, added.pins) == ("3.13", 21, {"numpy": "2.4.0"})
    assert list(catalogue.runtimes) == [*SHIPPED, "20.1"]
    assert catalogue.needs["lsp"].of(added) is None


def test_a_file_of_the_users_overrides_single_fields(user_file: Path) -> None:
    user_file.write_text('[runtime."15.4"]\njava = 17\njava_selectable = [8]\n')

    changed = runtimes.load(user_file).find("15.4")
    shipped = runtimes.load().find("15.4")

    assert (changed.java, changed.java_selectable) == (17, (8,))
    assert (changed.python, changed.pins) == (shipped.python, shipped.pins)
    assert shipped.java == 8


def test_an_added_runtime_has_its_place_among_the_others(user_file: Path) -> None:
    user_file.write_text('[runtime."16.3"]\nname = "16.3"\npyspark = "3.5.9"\n')

    known = list(runtimes.load(user_file).runtimes)

    assert known[known.index("16.1") :][:3] == ["16.1", "16.3", "16.4"]


def test_a_file_that_is_not_there_adds_nothing(user_file: Path) -> None:
    assert list(runtimes.load(user_file).runtimes) == SHIPPED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[runtime", "is not valid TOML"),
        ('[runtimes."20.1"]', "the file: field 'runtimes' is unknown"),
        ("runtime = 20.1", r"field 'runtime' must be a table \[runtime\]"),
        ('[runtime."20.1"]\nname = "20.1"', "runtime 20.1: field 'pyspark' is missing"),
        ('[runtime."15.4"]\njava = "17"', "runtime 15.4: field 'java' must be a whole number"),
        ('[runtime."15.4"]\njava = true', "runtime 15.4: field 'java' must be a whole number"),
        ('[runtime."15.4"]\njava_selectable = [17.0]', "'java_selectable' must be a list of whole"),
        ('[runtime."15.4"]\nlts = "yes"', "field 'lts' must be true or false"),
        ('[runtime."15.4"]\npyhton = "3.11"', "runtime 15.4: field 'pyhton' is unknown"),
        ('[runtime."15.4"]\nend_of_support = "2027"', "field 'end_of_support' must be a date"),
        ('[runtime."15.4"]\njname = "zulu8"', "field 'jname' must be a list of texts"),
        ('[runtime."15.4".pins]\nnumpy = 2', "field 'pins' must be a table of texts"),
        ('[runtime.latest]\nname = "x"', "'latest'.* is not named by a version"),
        ('[runtime]\n"15.4" = 1', "runtime '15.4' is not a table"),
    ],
)
def test_a_broken_file_is_refused_with_entry_and_field(
    user_file: Path, text: str, problem: str
) -> None:
    user_file.write_text(text)

    with pytest.raises(errors.BrokenFile, match=f"dcs-runtimes.toml: .*{problem}"):
        runtimes.load(user_file)
