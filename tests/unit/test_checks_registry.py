"""Rules about registries, on answers of servers of the test."""

from __future__ import annotations

import pytest

from pytest_dcs.checks import registry as checks
from pytest_dcs.image.reference import Reference
from pytest_dcs.remote.registry import preflight
from pytest_dcs.remote.registry.pull import Credentials, Pull
from pytest_dcs.remote.registry.status import Status
from pytest_dcs.rules import Blocked, NotApplicable
from tests.remote.answering import Reply, answering

from .asking_registries import (
    FOUND,
    LIMITS,
    TESTED,
    always,
    asked,
)
from .fake_host import finding_of


def test_the_limit_is_compared_with_the_nodes() -> None:
    limited = Reply(200, {**FOUND.headers, **LIMITS})
    check = checks.test_pulls_suffice_for_the_nodes
    check(asked(always(limited), nodes=3))
    told = finding_of(check, asked(always(limited), nodes=4))
    assert "found 3 left for this login, of 100 in 6 hours; needed 4, one for each node" in told


def test_without_a_login_only_the_limit_says_anything() -> None:
    limited = Reply(200, {**FOUND.headers, **LIMITS})
    check = checks.test_pulls_suffice_for_the_nodes
    check(asked(always(limited), None, nodes=100))
    told = finding_of(check, asked(always(limited), None, nodes=101))
    assert "found 100 for an address without a login, of 100 in 6 hours; needed 101" in told


def test_a_login_without_pulls_stops_a_launch() -> None:
    spent = Reply(429, {**LIMITS, "ratelimit-remaining": "0;w=21600"})
    found = asked(always(spent))
    assert "found 0 left" in finding_of(checks.test_pulls_suffice_for_the_nodes, found)
    with pytest.raises(Blocked, match="this login has no pulls left now"):
        checks.test_image_is_in_the_registry(found)


def test_an_address_without_pulls_says_nothing_of_the_nodes() -> None:
    found = asked(always(Reply(429, LIMITS)), None)
    for check in (checks.test_pulls_suffice_for_the_nodes, checks.test_registry_lets_the_nodes_in):
        with pytest.raises(Blocked, match="this machine's address has no pulls left now"):
            check(found)


def test_a_registry_without_limits_suffices_for_all() -> None:
    checks.test_pulls_suffice_for_the_nodes(asked(always(FOUND), nodes=1000))


def test_a_login_that_ends_soon_is_advice() -> None:
    aws = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/ml:1.4"
    pull = Pull(Reference.parse(aws), Credentials("AWS", "t0ken"))
    found = preflight.Preflight(pull, Status.FOUND)
    told = finding_of(checks.test_login_lasts, found)
    assert "found user 'AWS', whose password ends after 12 h" in told
    checks.test_login_lasts(asked(always(FOUND)))


def test_nothing_is_asked_where_only_the_workspace_can() -> None:
    with answering(always(FOUND)) as server:
        reference = Reference.parse(f"{server.host}/acme/ml:1.4")
        found = preflight.ask(Pull(reference, None, unknowable="only the workspace can"), TESTED)
    assert server.requests == []
    for check in (
        checks.test_registry_lets_the_nodes_in,
        checks.test_image_is_in_the_registry,
        checks.test_registry_has_linux_amd64,
        checks.test_pulls_suffice_for_the_nodes,
    ):
        with pytest.raises(NotApplicable, match="only the workspace can"):
            check(found)
    with pytest.raises(NotApplicable, match="only the workspace can"):
        checks.test_registry_has_the_tested_image(found, TESTED)


def test_an_image_that_could_not_be_looked_into_blocks() -> None:
    other = {**FOUND.headers, "Docker-Content-Digest": f"sha256:{'3' * 64}"}
    found = asked(lambda request: Reply(200 if request.method == "HEAD" else 429, other))
    assert found.status is Status.FOUND
    with pytest.raises(Blocked, match=r"answers with 429; --dcs-ignore=REG launches"):
        checks.test_registry_has_the_tested_image(found, TESTED)
    with pytest.raises(Blocked, match="could not be looked into"):
        checks.test_registry_has_linux_amd64(found)
