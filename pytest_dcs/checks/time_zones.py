"""DAT: the time zone of the image's own clock, and the system's tables of time zones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dcs.rules import NotApplicable, answer, require, rule

if TYPE_CHECKING:
    from testinfra.host import Host

    from pytest_dcs.inventory import Inventory

WINTER, SUMMER = 1704067200, 1719792000
"""Seconds since 1970, of 2024: clocks that are put forward show it at one of the two."""

SHOW_CLOCK = rf"""
for second in {WINTER} {SUMMER}; do date -d "@$second" '+%z %Z'; done
zone=${{TZ#:}}
case $zone in
  "") [ ! -L /etc/localtime ] || [ -e /etc/localtime ] || readlink /etc/localtime ;;
  /*) [ -e "$zone" ] || echo "$zone" ;;
esac
"""
"""Prints what the clock shows, and the file of a time zone that is named and does not exist."""

SHOWN = re.compile(
    r"(?P<winter>[+-]\d{4}) (?P<winter_name>\S*)\n"
    r"(?P<summer>[+-]\d{4}) (?P<summer_name>\S*)\n"
    r"(?P<missing>.*\n?)"
)
SHOW_NEW_YORK = f"TZ=America/New_York date -d @{WINTER} +%z"

WITH_OFFSET = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d")
"""A zone that says its rules itself, such as `CET-1CEST`: no table is needed for it."""

UTC_NAMES = {"UTC", "UCT", "Universal", "Zulu", "GMT", "GMT0", "GMT+0", "GMT-0", "Greenwich"}


@dataclass(frozen=True)
class Clock:
    """What the image's clock shows, by `date`, and what it was told to show."""

    offsets: tuple[str, ...]
    """Hours and minutes before UTC, in winter and in summer: `+0100`."""
    abbreviations: tuple[str, ...]
    setting: str
    """The zone that TZ names, or /etc/localtime where that leads nowhere; else empty."""
    missing: str = ""
    """The file of the zone, where one is named and does not exist."""

    @property
    def is_utc(self) -> bool:
        """Whether the clock shows UTC all year, under whatever name."""
        return set(self.offsets) == {"+0000"}

    @property
    def is_guess(self) -> bool:
        """Whether the C library shows UTC because it does not know the zone.

        It then takes the letters that the name begins with for an abbreviation.
        https://sourceware.org/glibc/manual/latest/html_node/TZ-Variable.html
        """
        name = self.setting.removeprefix(":").rpartition("zoneinfo/")[2]
        if not name or name.removeprefix("Etc/") in UTC_NAMES or WITH_OFFSET.match(name):
            return False
        if self.setting.removeprefix(":").startswith("/"):
            return bool(self.missing)
        letters = re.match("[A-Za-z]*", name)
        return self.is_utc and set(self.abbreviations) <= {letters and letters[0], "UTC", ""}


@rule(
    "DAT007",
    "time-zone-is-known",
    level="fail",
    effect="wrong-result",
    where="cluster",
    requires=("SYS004",),
    sources=(
        "https://github.com/exasol/script-languages-release/issues/1121",
        "https://github.com/jareware/docker-volume-backup/issues/51",
        "https://github.com/NeptuneHub/AudioMuse-AI/issues/893",
    ),
)
def test_time_zone_is_known(host: Host, dcs_inventory: Inventory) -> None:
    """Where TZ or /etc/localtime names a zone that the image has no table of, programs show UTC
    under the name of the zone, without an error. Python is one of them. The JVM has tables of its
    own and shows the zone's time, so one moment has two times.

    Fix: `RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y tzdata`, and a
    name of its list such as `ENV TZ=Europe/Berlin`; `ENV TZ=UTC` needs no table.
    """
    clock = clock_of(host, dcs_inventory)
    variable = "TZ" if dcs_inventory.environment.get("TZ") else "/etc/localtime"
    require(
        not clock.is_guess,
        f"time zone {clock.setting} of {variable}",
        found=f"a clock that shows {clock.offsets[0]} {clock.abbreviations[0]}".strip(),
        needed="a zone that the image has the table of",
    )


@rule(
    "DAT008",
    "clock-shows-utc",
    level="advice",
    effect="wrong-result",
    where="cluster",
    requires=("SYS004", "DAT007"),
    sources=(
        "https://github.com/apache/spark/pull/53161",
        "https://github.com/apache/spark/pull/19607",
        "https://github.com/Jwoo5/integrated-ehr-pipeline/issues/16",
    ),
)
def test_clock_shows_utc(host: Host, dcs_inventory: Inventory) -> None:
    """The nodes of a cluster are in UTC, and so is the session's time zone. Python's functions and
    `collect` show times in the zone of the image's clock instead, hours from what SQL shows, and
    twice a year an hour is shown twice.

    Fix: leave `ENV TZ` out, or `ENV TZ=UTC`; the zone in which people see times is the session's,
    `spark.sql.session.timeZone`.
    """
    clock = clock_of(host, dcs_inventory)
    require(
        clock.is_utc,
        "clock of the image in winter and in summer",
        found=" and ".join(dict.fromkeys(clock.offsets)),
        needed="UTC",
    )


@rule(
    "DAT009",
    "tables-of-time-zones",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="time_zones",
    where="cluster",
    requires=("SYS004", "DAT007"),
    sources=(
        "https://github.com/apache/arrow/issues/49172",
        "https://arrow.apache.org/docs/cpp/build_system.html#runtime-dependencies",
    ),
)
def test_tables_of_time_zones(host: Host) -> None:
    """Arrow takes the rules of time zones from the system, not from Python's package tzdata:
    "ArrowInvalid: Cannot locate or parse timezone 'America/New_York'", at the first function that
    computes with such times.

    Fix: `RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y tzdata`
    """
    result = host.run(SHOW_NEW_YORK)
    require(
        result.stdout.strip() == "-0500",
        SHOW_NEW_YORK,
        found=answer(result),
        needed="-0500, by the table in /usr/share/zoneinfo",
    )


def clock_of(host: Host, inventory: Inventory) -> Clock:
    """Return what the clock of the container shows."""
    result = host.run(SHOW_CLOCK)
    match = SHOWN.fullmatch(result.stdout)
    if match is None:
        raise NotApplicable(f"`date` does not tell the time zone: {answer(result)}")
    missing = match["missing"].strip()
    return Clock(
        offsets=(match["winter"], match["summer"]),
        abbreviations=(match["winter_name"], match["summer_name"]),
        setting=inventory.environment.get("TZ") or missing,
        missing=missing,
    )
