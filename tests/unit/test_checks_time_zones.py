from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_dcs.checks import time_zones
from pytest_dcs.inventory import Inventory
from pytest_dcs.rules import NotApplicable

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, finding_of

UTC = "+0000 UTC\n+0000 UTC\n"


def clock(shown: str) -> FakeHost:
    return FakeHost({"date -d": Result(shown)})


def told(zone: str | None) -> Inventory:
    return Inventory(environment={} if zone is None else {"TZ": zone})


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        (None, UTC),
        ("", UTC),
        ("UTC", UTC),
        ("Etc/UTC", "+0000 Etc\n+0000 Etc\n"),
        ("UCT", "+0000 UCT\n+0000 UCT\n"),
        ("Zulu", "+0000 Zulu\n+0000 Zulu\n"),
        ("UTC0", UTC),
        ("GMT", "+0000 GMT\n+0000 GMT\n"),
        (":/etc/localtime", UTC),
        ("<+00>-0", "+0000 +00\n+0000 +00\n"),
        ("Africa/Abidjan", "+0000 GMT\n+0000 GMT\n"),
        (None, f"{UTC}/usr/share/zoneinfo/Etc/UTC\n"),
    ],
)
def test_utc_has_many_names(zone: str | None, shown: str) -> None:
    time_zones.test_time_zone_is_known(clock(shown), told(zone))
    time_zones.test_clock_shows_utc(clock(shown), told(zone))


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Berlin", "+0100 CET\n+0200 CEST\n"),
        ("Europe/London", "+0000 GMT\n+0100 BST\n"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "+0100 CET\n+0200 CEST\n"),
        (None, "+0530 IST\n+0530 IST\n"),
    ],
)
def test_another_clock_than_utcs_is_known_and_advised_against(zone: str | None, shown: str) -> None:
    time_zones.test_time_zone_is_known(clock(shown), told(zone))
    found = finding_of(time_zones.test_clock_shows_utc, clock(shown), told(zone))
    assert found.startswith("clock of the image in winter and in summer: found +0")


@pytest.mark.parametrize(
    ("zone", "shown", "subject"),
    [
        ("Europe/Frankfurt", "+0000 Europe\n+0000 Europe\n", "Europe/Frankfurt of TZ"),
        (":Europe/Frankfurt", "+0000 Europe\n+0000 Europe\n", ":Europe/Frankfurt of TZ"),
        ("CEST", "+0000 CEST\n+0000 CEST\n", "CEST of TZ"),
        ("America/New_York", UTC, "America/New_York of TZ"),
        (":/opt/zones/Berlin", f"{UTC}/opt/zones/Berlin\n", ":/opt/zones/Berlin of TZ"),
        (
            None,
            f"{UTC}/usr/share/zoneinfo/Europe/Berlin\n",
            "/usr/share/zoneinfo/Europe/Berlin of /etc/localtime",
        ),
        (
            None,
            f"{UTC}../usr/share/zoneinfo/Europe/Berlin\n",
            "../usr/share/zoneinfo/Europe/Berlin of /etc/localtime",
        ),
    ],
)
def test_a_zone_without_a_table_is_found(zone: str | None, shown: str, subject: str) -> None:
    found = finding_of(time_zones.test_time_zone_is_known, clock(shown), told(zone))
    assert found.startswith(f"time zone {subject}: found a clock that shows +0000")


@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE, Result("now\n")])
def test_without_a_clock_nothing_is_known(result: Result) -> None:
    with pytest.raises(NotApplicable):
        time_zones.test_time_zone_is_known(FakeHost({"date": result}), told(None))


@pytest.mark.skipif(
    shutil.which("date") is None or not Path("/usr/share/zoneinfo/Asia/Kolkata").is_file(),
    reason="this machine has no tables of time zones",
)
@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Kolkata", "+0530 IST\n+0530 IST\n"),
        ("Europe/Frankfurt", "+0000 Europe\n+0000 Europe\n"),
        (":/does/not/exist", "+0000 \n+0000 \n/does/not/exist\n"),
    ],
)
def test_the_clock_of_a_machine_is_read(zone: str, shown: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", time_zones.SHOW_CLOCK],
        env={**os.environ, "TZ": zone},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == shown


@pytest.mark.parametrize("result", [Result("+0000\n"), MISSING, EMPTY_FILE])
def test_missing_tables_are_found(result: Result) -> None:
    check = time_zones.test_tables_of_time_zones
    check(FakeHost({"America/New_York": Result("-0500\n")}))
    found = finding_of(check, FakeHost({"America/New_York": result}))
    assert "needed -0500" in found
