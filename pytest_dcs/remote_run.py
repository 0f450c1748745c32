"""What launches the images of a run on real clusters; registered with --dcs-remote only."""

from __future__ import annotations

import io
import os
import shlex
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors, rules, stash
from pytest_dcs.bundle import builder, stub, wheels
from pytest_dcs.items import entry_of
from pytest_dcs.local_run import ADDED_OPTIONS
from pytest_dcs.options import OPTIONS
from pytest_dcs.remote import control, request, verdict
from pytest_dcs.remote.journal import LAUNCHES, Journal
from pytest_dcs.remote.workspace import connect
from pytest_dcs.report import document, merging
from pytest_dcs.rules import Item

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.remote.control import RemoteLaunch
    from pytest_dcs.remote.outcome import Outcome
    from pytest_dcs.remote.request import Request
    from pytest_dcs.remote.workspace import Workspace
    from pytest_dcs.report.terminal import Summary

FLAG = OPTIONS["remote"].flag
CLUSTER = "cluster"
"""Where the checks on a cluster have seen what they found."""
JUDGED = frozenset({"pass", "fail", "advice"})
MILD = frozenset({pytest.ExitCode.OK, 75})
"""Exit statuses that must not stand beside a cluster that is left behind."""


def register(config: pytest.Config, settings: Settings, summary: Summary) -> None:
    """Add what launches; raises `LaunchUnfit` where nothing may be launched."""
    for is_unfit, why, next_step in unfitness(config, settings):
        if is_unfit:
            raise errors.LaunchUnfit(why, next_step)
    run = RemoteRun(config, settings, summary)
    config.stash[stash.REMOTE] = run
    config.pluginmanager.register(run, "dcs-remote")


def unfitness(config: pytest.Config, settings: Settings) -> Iterator[tuple[bool, str, str]]:
    """Yield what can keep a run from launching, whether it does, and what to do then."""
    added = shlex.split(os.environ.get(ADDED_OPTIONS, ""))
    yield (
        FLAG not in [*map(str, config.invocation_params.args), *added],
        f"a configuration file asks for {FLAG}",
        f"Write {FLAG} into the command, so that a launch is meant each time.",
    )
    yield (
        settings.is_local,
        "with --dcs-engine=local this machine is the image",
        f"Leave {FLAG} out in an image's container; launch from outside of it.",
    )
    distributed = config.getoption("dist", "no") != "no" or hasattr(config, "workerinput")
    yield (
        distributed,
        "a worker of pytest-xdist that is ended has no time to remove its cluster",
        f"Add -n0 to the command with {FLAG}.",
    )


class RemoteRun:
    """Launches each image once, keeps what came of it, and tells it to the reports."""

    def __init__(self, config: pytest.Config, settings: Settings, summary: Summary) -> None:
        self.config = config
        self.settings = settings
        self.summary = summary
        self.requests: dict[str, Request] = {}
        """By entry, what is to be launched."""
        self.done: dict[str, RemoteLaunch | errors.SetupError] = {}
        """By entry, what came of it: nothing is launched twice."""
        self.raw: dict[str, RemoteLaunch] = {}
        """By entry, all launches that came to an end, those without a verdict among them."""
        self._bundle: bytes | None = None
        self._workspace: Workspace | None = None
        self._journal: Journal | None = None

    def pytest_report_header(self) -> str:
        """Say at once that the run costs money."""
        return (
            f"dcs: {FLAG} LAUNCHES REAL CLUSTERS, WHICH COSTS MONEY; each is removed afterwards, "
            "and `python -m pytest_dcs sweep --remote` finds what a killed run has left"
        )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Make sure that a launch can be made before anything is done; launches nothing yet."""
        if self.config.option.collectonly:
            return
        asking = [item for item in session.items if needs_launch(item)]
        found = {entry.id: entry for entry in map(entry_of, asking) if entry is not None}
        if not found:
            self._say("nothing is launched: no selected test asks for it")
            return
        for entry in found.values():
            self.requests[entry.id] = self._request(entry)
        if any(not each.unchecked for each in self.requests.values()):
            self._bundle = bundle_of(self.settings.cache_directory, self._say)
        record = self.settings.remote_record.value
        self._workspace = connect(Path(record) if record else None)
        request.refuse_switched_off(self._workspace)
        run_id = stash.run_id_of(self.config)
        self._journal = Journal(run_id, cap=LAUNCHES * len(self.requests))
        for each in self.requests.values():
            self._say(f"to be launched in {self._workspace.host}: {each.title}")
            for line in each.said:
                self._say(f"  {line}")

    def request_of(self, entry: Entry) -> Request:
        """Return what is to be launched for an entry."""
        return self.requests[entry.id]

    def launched(self, entry: Entry) -> RemoteLaunch:
        """Launch an entry's image, at the first call only.

        Raises a `SetupError` where this cluster cannot be launched, whatever the image.
        """
        if entry.id not in self.done:
            try:
                self.done[entry.id] = self._launch(entry)
            except errors.SetupError as error:
                self.done[entry.id] = error
        done = self.done[entry.id]
        if isinstance(done, errors.SetupError):
            raise done
        return done

    def differences(self, entry: Entry, launch: RemoteLaunch) -> tuple[Item, ...]:
        """Return the rules that came out differently on the cluster than here."""
        part = part_of(launch, entry) if launch.outcome.document and not launch.unusable else None
        judge: Any = self.config.pluginmanager.get_plugin("dcs-judge")
        found = []
        for theirs in part.findings if part else ():
            ours = judge.outcomes.get((entry.id, theirs.rule))
            if {theirs.outcome, ours} <= JUDGED and theirs.outcome != ours:
                said = f"{theirs.outcome}: {theirs.headline}".removesuffix(": ")
                found.append(Item(theirs.title, f"{said} on the cluster", f"{ours}, as here"))
        return tuple(found)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give JUnit files the ids of what was launched."""
        launch = getattr(item, "funcargs", {}).get(rules.REMOTE_PROBE)
        if call.when == "call" and isinstance(launch, control.RemoteLaunch):
            item.user_properties += properties(launch)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Join what the cluster has found to the verdict; a cluster left behind is never green."""
        for entry in self.config.stash[stash.PLAN].entries:
            launch = self.raw.get(entry.id)
            if launch is None:
                continue
            self.summary.judgements[entry.id].notes += notes_on(launch)
            if launch.outcome.document and not launch.unusable:
                part = part_of(launch, entry)
                self.summary.parts.setdefault(entry.id, []).append(part)
        result = yield
        if self._left() and session.exitstatus in MILD:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say loudly what is left behind."""
        for line in self._left():
            terminalreporter.write_line(f"ERROR: dcs: NOT REMOVED: {line}", red=True, bold=True)

    def pytest_unconfigure(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _request(self, entry: Entry) -> Request:
        if entry.image.archive:
            why = f"{entry.image.reference} lies in files, and clusters pull from a registry"
            raise errors.LaunchUnfit(why, "`docker load` and push it, and name what was pushed.")
        return request.make(
            entry.image,
            entry.runtime,
            (entry.profile, entry.features),
            self.settings,
            run_id=stash.run_id_of(self.config),
            environment=os.environ,
            floor=stub.FLOOR,
        )

    def _launch(self, entry: Entry) -> RemoteLaunch:
        assert self._workspace is not None
        assert self._journal is not None
        wanted = self.requests[entry.id]
        launch = control.launch(
            self._workspace,
            wanted,
            None if wanted.unchecked else self._bundle,
            self._journal,
            self._say,
            with_control=self.settings.remote_control.value,
        )
        if launch.outcome.document is not None:
            unusable = problem_of(launch.outcome.document, entry)
            launch = replace(launch, unusable=unusable)
        self.raw[entry.id] = launch
        verdict.refuse_unfit(launch)
        return launch

    def _left(self) -> list[str]:
        return [line for launch in self.raw.values() for line in launch.left]

    def _say(self, line: str) -> None:
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            if terminal is not None:
                terminal.ensure_newline()
                terminal.write_line(f"dcs: {line}")


def needs_launch(item: pytest.Item) -> bool:
    """Tell whether a test asks for something of a launch."""
    return not rules.REMOTE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def bundle_of(cache_directory: Path, say: Any) -> bytes:
    """Return the checks as one file; raises `BundleNotBuilt` and `CacheUnusable`."""
    buffer = io.BytesIO()
    builder.write(buffer, wheels.provision(cache_directory, say))
    return buffer.getvalue()


def problem_of(found: Mapping[str, Any], entry: Entry) -> str:
    """Return why the document of a cluster cannot be used, empty where it can."""
    problem = document.problem_of(found)
    if problem:
        return f"the document of the checks cannot be read: {problem}"
    if len(found["entries"]) != 1:
        return f"the checks on the cluster have judged {len(found['entries'])} images instead of 1"
    plain = found["entries"][0]
    if plain["runtime"] != entry.runtime.version:
        return f"the checks on the cluster have judged runtime {plain['runtime']}"
    try:
        merging.part_seen(CLUSTER, found, plain)
    except ValueError as error:
        return f"the document of the checks cannot be read: {error}"
    return ""


def part_of(launch: RemoteLaunch, entry: Entry) -> merging.Part:
    """Return what the checks on the cluster say of an entry."""
    found: Any = launch.outcome.document
    part = merging.part_seen(CLUSTER, found, found["entries"][0])
    return replace(part, findings=tuple(replace(each, entry=entry.id) for each in part.findings))


def properties(launch: RemoteLaunch) -> list[tuple[str, object]]:
    """Return what JUnit files carry of a launch."""
    outcome = launch.outcome
    found = [
        ("dcs_cluster", launch.request.name),
        ("dcs_cluster_id", outcome.cluster_id),
        ("dcs_job_run", "" if outcome.job_run_id is None else str(outcome.job_run_id)),
        ("dcs_termination_code", launch.cause.code if launch.cause else ""),
        ("dcs_control_cluster_id", launch.control.cluster_id if launch.control else ""),
        ("dcs_removed", "false" if launch.left else "true"),
    ]
    return [(name, value) for name, value in found if value]


def notes_on(launch: RemoteLaunch) -> Iterator[str]:
    """Yield what was created and removed, and how long it took."""
    yield f"launched {launch.request.title}"
    yield told(launch.outcome, "cluster")
    if launch.cause is not None:
        yield f"the cluster ended with {launch.cause}, which is about: {launch.cause.kind}"
    if launch.control is not None:
        yield told(launch.control, "the same cluster without the image")


def told(outcome: Outcome, what: str) -> str:
    """Return what became of one cluster: its ids, its times in seconds, and whether it is gone."""
    job = f", job run {outcome.job_run_id}" if outcome.job_run_id is not None else ""
    state = "was ready" if outcome.ready else "was not ready"
    taken = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in outcome.seconds.items())
    removed = "removed" if outcome.removed else "NOT REMOVED"
    return f"{what} {outcome.cluster_id or 'without an id'}{job} {state}; {taken}; {removed}"
