"""What is known before a registry is asked: logins, names, nodes, and the words of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_dcs import errors
from pytest_dcs.image.reference import Reference
from pytest_dcs.remote.errors import LoginIncomplete
from pytest_dcs.remote.registry import budget, challenge, habits, manifests
from pytest_dcs.remote.registry.budget import Budget
from pytest_dcs.remote.registry.challenge import Challenge
from pytest_dcs.remote.registry.hosts import is_loopback
from pytest_dcs.remote.registry.pull import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    Credentials,
    of_spec,
)

OWN = {USER_VARIABLE: "robot", PASSWORD_VARIABLE: "of-the-environment"}
SECRETS = {"username": "{{secrets/dcs/user}}", "password": "{{secrets/dcs/password}}"}


def spec(url: str = "registry.example.com/acme/ml:1.4", **more: Any) -> dict[str, Any]:
    login = more.pop("basic_auth", None)
    return {"docker_image": {"url": url, **({"basic_auth": login} if login else {})}, **more}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/token",service="b",scope="repository:c:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/token",
                        "service": "b",
                        "scope": "repository:c:pull,push",
                    },
                )
            ],
        ),
        (
            'Negotiate YWJj==, BASIC realm="a \\"b\\", c" , charset=UTF-8',
            [
                Challenge("negotiate"),
                Challenge("ywjj"),
                Challenge("basic", {"realm": 'a "b", c', "charset": "UTF-8"}),
            ],
        ),
        ('realm="of nobody"', []),
        ('Bearer realm="cut off', [Challenge("bearer"), Challenge("cut"), Challenge("off")]),
    ],
)
def test_challenges_are_read_whatever_their_form(header: str, found: list[Challenge]) -> None:
    read = challenge.parse(header)
    assert [each for each in read if each.scheme not in {"realm"}] == found


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({budget.LIMIT: "many"}, None),
        (
            {budget.LIMIT: "100;w=21600", budget.REMAINING: "76;w=21600"},
            Budget(100, 76, 21600),
        ),
        ({budget.REMAINING: "3"}, Budget(3, 3, 0)),
        ({budget.LIMIT: "10 ; w = 60"}, Budget(10, 10, 60)),
    ],
)
def test_what_is_left_is_read_off_the_headers(
    headers: dict[str, str], found: Budget | None
) -> None:
    assert budget.read(headers) == found


def test_a_window_is_told_in_hours() -> None:
    assert Budget(100, 76, 21600).window_text == " in 6 hours"
    assert Budget(100, 76, 0).window_text == ""


def test_a_login_in_the_specification_counts_first() -> None:
    login = {"username": "reader", "password": "of-the-file"}
    found = of_spec(spec(basic_auth=login), OWN)
    assert found.credentials == Credentials("reader", "of-the-file")
    assert "of-the-file" not in repr(found)


def test_the_environments_login_is_taken_where_the_specification_has_none() -> None:
    found = of_spec(spec(), OWN)
    assert found.credentials == Credentials("robot", "of-the-environment")
    assert of_spec(spec(), {}).credentials is None


@pytest.mark.parametrize("half", [{**SECRETS, "username": "robot"}, SECRETS])
def test_a_secret_of_the_workspace_cannot_be_tried_unless_the_login_is_known(
    half: dict[str, str],
) -> None:
    unknown = of_spec(spec(basic_auth=half), {})
    assert unknown.credentials is None
    assert "only the workspace can read the login" in unknown.unknowable
    known = of_spec(spec(basic_auth=half), OWN)
    assert (known.credentials, known.unknowable) == (
        Credentials("robot", "of-the-environment"),
        "",
    )


def test_nodes_with_rights_of_their_own_need_no_login() -> None:
    ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ml:1"
    profile = {"instance_profile_arn": "arn:aws:iam::123456789012:instance-profile/ml"}
    assert "instance profile" in of_spec(spec(ecr, aws_attributes=profile), {}).unknowable
    assert of_spec(spec(ecr), {}).unknowable == ""
    assert of_spec(spec(aws_attributes=profile), {}).unknowable == ""


@pytest.mark.parametrize(
    ("missing", "there"), [(USER_VARIABLE, PASSWORD_VARIABLE), (PASSWORD_VARIABLE, USER_VARIABLE)]
)
def test_half_a_login_is_a_mistake(missing: str, there: str) -> None:
    with pytest.raises(LoginIncomplete, match=f"{there} is set and {missing} is not") as caught:
        of_spec(spec(), {there: OWN[there]})
    assert OWN[PASSWORD_VARIABLE] not in str(caught.value)


@pytest.mark.parametrize("broken", [{}, {"docker_image": []}, {"docker_image": {"url": "A b"}}])
def test_a_specification_without_an_image_is_a_mistake(broken: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidReference):
        of_spec(broken, {})


@pytest.mark.parametrize(
    ("size", "nodes"),
    [
        ({}, 1),
        ({"num_workers": 0}, 1),
        ({"num_workers": 4}, 5),
        ({"autoscale": {"min_workers": 1, "max_workers": 9}}, 10),
        ({"num_workers": 2, "autoscale": {"max_workers": 9}}, 10),
        ({"num_workers": "four"}, 1),
    ],
)
def test_the_driver_and_all_workers_pull(size: dict[str, Any], nodes: int) -> None:
    assert of_spec(spec(**size), {}).nodes == nodes


@pytest.mark.parametrize(
    ("name", "is_floating"),
    [
        ("acme/ml", True),
        ("acme/ml:latest", True),
        ("acme/ml:Main", True),
        ("acme/ml:1.4", False),
        ("acme/ml:2026-11-24-8f3c21a", False),
        (f"acme/ml:latest@sha256:{'0' * 64}", False),
    ],
)
def test_some_tags_move_by_their_name(name: str, is_floating: bool) -> None:
    assert habits.is_floating(Reference.parse(name)) is is_floating


@pytest.mark.parametrize(
    ("registry", "user", "hours"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS", 12),
        ("europe-west1-docker.pkg.dev", "oauth2accesstoken", 1),
        ("europe-west1-docker.pkg.dev", "_json_key", None),
        ("acme.azurecr.io", "00000000-0000-0000-0000-000000000000", 3),
        ("acme.azurecr.io", "5f1c0f9e-0000-4000-8000-000000000000", None),
        ("registry.example.com", "AWS", None),
    ],
)
def test_passwords_that_end_are_known_by_their_user(
    registry: str, user: str, hours: int | None
) -> None:
    assert habits.lifetime(registry, user) == hours


def test_the_data_names_public_sources() -> None:
    assert all(each.source.startswith("https://") for each in habits.load().short_lived)


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1:5000", False),
        ("[:::", False),
        ("", False),
    ],
)
def test_only_this_machine_needs_no_tls(host: str, is_this_machine: bool) -> None:
    assert is_loopback(host) is is_this_machine


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"manifests": "none"},
        {"manifests": ["x", {}, {"platform": "linux"}, {"platform": {"os": "linux"}}]},
        {"manifests": [{"platform": {"os": ["linux"]}}]},
        {"manifests": [{"digest": "../../x", "platform": {"os": "linux"}}]},
        {"manifests": [{"digest": f"sha256:{'0' * 64}", "platform": {"os": "unknown"}}]},
    ],
)
def test_what_is_no_image_in_an_index_is_left_out(index: dict[str, Any]) -> None:
    assert [*manifests.entries(index)] == []


@pytest.mark.parametrize("manifest", [{}, {"config": 1}, {"config": {"digest": "x"}}])
def test_a_manifest_may_name_no_config(manifest: dict[str, Any]) -> None:
    assert manifests.config_of(manifest) == ""
