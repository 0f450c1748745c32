"""The pytest hooks. Every pytest run in the environment imports this module: keep it light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_dcs import errors, fixtures, options, stash

WORKER_INPUT = "dcs_plan"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options `--dcs-…` and the ini keys `dcs_…`."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer `--dcs-list` and `--dcs-explain` without a test run."""
    if config.option.help or config.option.version:
        return None
    if config.option.dcs_list or config.option.dcs_explain:
        from pytest_dcs.report import pages

        text = config.option.dcs_explain
        pages.show(pages.explain(text) if text else pages.listing())
        return pytest.ExitCode.OK
    return None


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures, and with an image all that judges it."""
    config.addinivalue_line("markers", "dcs(rule): the Databricks rule that the test checks")
    config.pluginmanager.register(fixtures, "dcs-fixtures")
    if config.option.help or config.option.version:
        return
    settings = options.read_settings(config)
    config.stash[stash.SETTINGS] = settings
    if settings.is_local and not hasattr(config, "workerinput"):
        from pytest_dcs import local_run

        local_run.refuse_unfit(config, settings)
    if settings.active:
        activate(config, settings)
    elif settings.remote.value:
        why = "no image is named"
        raise errors.LaunchUnfit(why, "Name it: --dcs-image=acme/ml:1.4")
    elif config.getoption(options.WRITE_WAIVERS):
        raise errors.WaiversNotWritten(settings.waivers_file, "no image is judged")
    elif settings.tests.value:
        from pytest_dcs.collect import WithoutImage

        config.pluginmanager.register(WithoutImage(settings), "dcs-collect")


def activate(config: pytest.Config, settings: options.Settings) -> None:
    """Register the parts that a run with an image has."""
    if config.getoption("hosts", None):
        raise errors.ConflictingHosts
    from pytest_dcs import image_host, rules, runtimes, steps
    from pytest_dcs.judge import Judge
    from pytest_dcs.report.terminal import Summary

    for prefix in (*settings.select.value, *settings.ignore.value):
        rules.matching(prefix)
    for name in settings.without.value:
        if name not in steps.switches():
            raise errors.InvalidValue(
                settings.without.source, name, f"one of {', '.join(steps.switches())}"
            )
    catalogue = runtimes.load(settings.runtimes_file)
    config.stash[stash.CATALOGUE] = catalogue
    config.pluginmanager.register(image_host, "dcs-host")
    adopting: bool = config.getoption(options.WRITE_WAIVERS)
    config.pluginmanager.register(Judge(settings, catalogue, adopting=adopting), "dcs-judge")
    summary = Summary(config, settings)
    config.pluginmanager.register(summary, "dcs-summary")
    if settings.is_compared and not hasattr(config, "workerinput"):
        from pytest_dcs.report import nightly

        nightly.register(config, settings, summary)
    if adopting and not hasattr(config, "workerinput"):
        from pytest_dcs import adoption, waiver_file

        waiver_file.refuse_unwritable(settings.waivers_file)
        adopter = adoption.Adopter(config, settings.waivers_file, summary)
        config.pluginmanager.register(adopter, "dcs-adopter")
    if settings.remote.value:
        from pytest_dcs import remote_run

        remote_run.register(config, settings, summary)
    if settings.spark_tuning.value:
        from pytest_dcs.warm import Warmer

        config.pluginmanager.register(Warmer(config, settings), "dcs-warmer")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the plan, in the controller by asking the engine, in a worker from what it was sent."""
    config = session.config
    settings = config.stash.get(stash.SETTINGS, None)
    if settings is None or not settings.active:
        return
    from pytest_dcs import plan
    from pytest_dcs.collect import Collector

    sent = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    config.stash[stash.PLAN] = made = (
        plan.make(
            settings,
            config.stash[stash.CATALOGUE],
            lambda: plan.engine_of(config),
            collect_only=config.option.collectonly,
        )
        if sent is None
        else plan.from_plain(sent, config.stash[stash.CATALOGUE])
    )
    if sent is None and settings.merge.value and not config.option.collectonly:
        from pytest_dcs.report import merging

        summary: Any = config.pluginmanager.get_plugin("dcs-summary")
        summary.parts = merging.read(map(Path, settings.merge.value), made)
    paths_given = config.args_source is pytest.Config.ArgsSource.ARGS
    if not paths_given:
        config.args = list(settings.tests.value)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    config.pluginmanager.register(
        Collector(settings, made, builtin=not paths_given, terminal=terminal), "dcs-collect"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send the plan to an xdist worker."""
    if stash.PLAN in node.config.stash:
        node.workerinput[WORKER_INPUT] = node.config.stash[stash.PLAN].to_plain()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End whatever an engine of this process still runs."""
    engine = config.stash.get(stash.ENGINE, None)
    if engine is not None:
        engine.close()
