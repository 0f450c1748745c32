"""How the built-in checks join a run: collection, parametrisation, order, xdist's schedule."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import gpu_request, rules, spark
from pytest_dcs.fixtures import NEEDS_IMAGE
from pytest_dcs.items import entry_of, probes_of, rule_of
from pytest_dcs.launch_request import GPU_SPARK, SPARK_JOBS, needs_spark
from pytest_dcs.options import NO_ENGINE

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry, Plan

CHECKS = sorted(Path(__file__).with_name("checks").glob("[!_]*.py"))
SPARK_PROBES = frozenset({*SPARK_JOBS, GPU_SPARK})
"""Fixtures that need the runtime's Spark."""
ON_DEMAND_PROBES = frozenset({"dcs_fuse_smoke"})
"""Fixtures whose probes only start when they are asked for: nobody has to wait for them last."""
SHARED_DISTRIBUTIONS = {"load", "loadscope", "loadfile", "loadgroup", "worksteal"}
"""Values of xdist's --dist that share tests out among workers."""


class BuiltinChecks(pytest.Module):
    """A module of checks, shown as `dcs/python::test_…` wherever the package was installed."""

    def _getobj(self) -> object:
        # pytest would import by path, under a name that depends on the user's import mode.
        return importlib.import_module(f"{rules.CHECKS_PACKAGE}.{self.path.stem}")

    def funcnamefilter(self, name: str) -> bool:
        """Take what is named like a test, whatever `python_functions` the user's project sets."""
        return name.startswith("test_")


class Collector:
    """Adds the built-in checks to the session and gives every test its image."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        *,
        builtin: bool,
        terminal: pytest.TerminalReporter | None = None,
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.builtin = builtin
        self.terminal = terminal

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Append the modules of checks to what the session has collected by paths."""
        report = yield
        if self.builtin and isinstance(collector, pytest.Session):
            for path in CHECKS:
                name = f"dcs/{path.stem}"
                module = BuiltinChecks.from_parent(collector, path=path, name=name, nodeid=name)
                report.result.append(module)
        return report

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make each test that asks for an image once per entry of the plan, and per smoke file."""
        if rules.ENTRY_FIXTURE in metafunc.fixturenames:
            metafunc.parametrize(
                rules.ENTRY_FIXTURE,
                self.plan.entries,
                indirect=True,
                scope="session",
                ids=[entry.id for entry in self.plan.entries],
            )
        if rules.SMOKE_FILE_FIXTURE in metafunc.fixturenames:
            files = self.settings.smoke.value
            ids = [Path(file).name for file in files] or ["none"]
            metafunc.parametrize(rules.SMOKE_FILE_FIXTURE, files or [None], ids=ids)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let `-k` find a check by its rule's id and name."""
        rule = rule_of(item)
        if rule is not None:
            item.extra_keyword_matches |= {rule.id, rule.name}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out rules that are not selected, and put the rest in order."""
        selected = [item for item in items if self._is_selected(item)]
        if len(selected) < len(items):
            left_out = [item for item in items if not self._is_selected(item)]
            config.hook.pytest_deselected(items=left_out)
        order = order_of_rules()
        items[:] = sorted(selected, key=lambda item: self._position(item, order))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have the Sparks before anything is launched: without one the run cannot be set up.

        Workers of xdist fetch on their own, one at a time, when they launch an image.
        """
        config = session.config
        if config.option.collectonly or hasattr(config, "workerinput"):
            return
        gives_gpus = self.settings.gpus.value != gpu_request.NONE
        wanted = {
            entry.runtime.pyspark
            for entry in self.plan.entries
            if is_given_spark(entry)
            and needs_spark(probes_of(session.items, entry), gives_gpus=gives_gpus)
        }
        for version in sorted(wanted):
            spark.provision(version, self.settings.cache_directory, self._say)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """Send all tests of one image to one worker, so that it is launched once."""
        if config.getoption("dist") not in SHARED_DISTRIBUTIONS:
            return None
        return schedule_by_entry(config, log, [entry.id for entry in self.plan.entries])

    def _say(self, line: str) -> None:
        if self.terminal is not None:
            self.terminal.write_line(f"dcs: {line}")

    def _is_selected(self, item: pytest.Item) -> bool:
        rule = rule_of(item)
        if rule is None:
            return True
        if rule.family in rules.REMOTE_FAMILIES and not self.settings.remote.value:
            return False
        select, ignore = self.settings.select.value, self.settings.ignore.value
        if rule.where != "image" and self.settings.engine.value == NO_ENGINE:
            return False
        if rule.probe == rules.DEEP_PROBE and not (self.settings.deep.value or rule.id in select):
            return False
        return rules.is_selected(rule.id, select, ignore)

    def _position(self, item: pytest.Item, order: Mapping[str, int]) -> tuple[int, int, int]:
        """Return where an item stands: by entry, then rules, own tests, and slow probes last."""
        rule, entry = rule_of(item), entry_of(item)
        number = self.plan.entries.index(entry) if entry is not None else -1
        if rule is None:
            return number, 1, 0
        is_waited_for = rule.probe is not None and rule.probe not in ON_DEMAND_PROBES
        return number, 2 if is_waited_for else 0, order[rule.id]


class WithoutImage:
    """Skips the user's own image tests in a run that has no image.

    Their `host` would be the machine that runs pytest, and they might well pass there.
    """

    def __init__(self, settings: Settings) -> None:
        self.paths = [Path(path) for path in settings.tests.value]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Mark the tests below the configured paths."""
        for item in items:
            if any(path in (item.path, *item.path.parents) for path in self.paths):
                item.add_marker(pytest.mark.skip(reason=NEEDS_IMAGE))


def is_given_spark(entry: Entry) -> bool:
    """Tell whether a launch of an entry brings the runtime's Spark."""
    return not entry.image.archive and entry.image.seen_from != "node"


def order_of_rules() -> Mapping[str, int]:
    """Return each rule's place such that it stands behind all that it requires."""
    catalogue = rules.catalogue()
    placed: dict[str, int] = {}

    def place(rule_id: str) -> None:
        for required in catalogue[rule_id].requires:
            if required not in placed:
                place(required)
        placed.setdefault(rule_id, len(placed))

    for rule_id in catalogue:
        place(rule_id)
    return placed


def schedule_by_entry(config: pytest.Config, log: Any, ids: Sequence[str]) -> object:
    """Return a scheduler whose units of work are the entries; other tests stand alone."""
    from xdist.scheduler import LoadScopeScheduling

    longest_first = sorted(ids, key=len, reverse=True)

    class EntryScheduling(LoadScopeScheduling):  # type: ignore[misc]
        """One unit of work per image and runtime."""

        def _split_scope(self, nodeid: str) -> str:
            parameters = nodeid.partition("[")[2]
            return next((each for each in longest_first if each in parameters), nodeid)

    return EntryScheduling(config, log)
