"""Secrets in texts, JSON values and logs of a remote launch."""

from __future__ import annotations

import json
import logging

import pytest

from pytest_dcs.remote.hiding import HIDDEN, Secrets, guard_loggers

SECRET = 'pa"ss\\wörd/1'
KEY = "-----BEGIN KEY-----\n" + "\n".join(f"line-{n}-of-a-private-key" * 2 for n in range(9))


@pytest.mark.parametrize(
    "text",
    [SECRET, json.dumps({"x": SECRET}), json.dumps({"x": SECRET}, ensure_ascii=False)],
)
def test_a_known_secret_is_hidden_as_it_is_and_as_json_writes_it(text: str) -> None:
    assert "ss" not in Secrets([SECRET]).hide(text).replace("(hidden)", "")


def test_a_secret_in_an_address_is_hidden() -> None:
    assert Secrets(["a/b&c=d"]).hide("https://h/?t=a%2Fb%26c%3Dd") == f"https://h/?t={HIDDEN}"


def test_a_long_secret_is_hidden_where_a_log_has_cut_it() -> None:
    long = "abcdefgh" * 40
    assert "abcdefgh" not in Secrets([long]).hide(f'"key": "{long[:96]}... (224 more bytes)"')


def test_each_line_of_a_long_secret_is_hidden() -> None:
    shown = Secrets([KEY]).hide("\n".join(f"  > {line}" for line in KEY.splitlines()))
    assert "private-key" not in shown


def test_short_values_do_not_spoil_every_text() -> None:
    assert Secrets(["", "a", "abc"]).hide("an abc of images") == "an abc of images"


@pytest.mark.parametrize("name", ["password", "DB_PASSWORD", "fs.azure.account.key.acme", "apiKey"])
def test_what_a_name_shows_to_be_secret_is_hidden_although_unknown(name: str) -> None:
    assert Secrets().hide_in({name: "swordfish"}) == {name: HIDDEN}
    assert "swordfish" not in Secrets().hide(json.dumps({name: 'sword\\"fish'}))


@pytest.mark.parametrize(
    "plain",
    [
        {"password": "{{secrets/dcs/registry}}"},
        {"task_key": "checks"},
        {"next_page_token": "abc123"},
        {"idempotency_token": "dcs-1"},
    ],
)
def test_what_only_names_a_secret_or_is_none_stays(plain: dict[str, str]) -> None:
    assert Secrets().hide_in(plain) == plain
    assert Secrets().hide(json.dumps(plain)) == json.dumps(plain)


def test_secrets_of_a_specification_are_known_afterwards() -> None:
    secrets = Secrets()
    secrets.learn_from({"docker_image": {"basic_auth": {"password": "swordfish"}}})
    assert secrets.hide("pulled with swordfish") == f"pulled with {HIDDEN}"
    assert "swordfish" not in repr(secrets)


def test_logs_of_a_package_have_no_secrets_in_messages_and_tracebacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("dcs_hiding.below")
    guard_loggers("dcs_hiding", Secrets(["swordfish"]))
    with caplog.at_level(logging.DEBUG):
        try:
            int("swordfish")
        except ValueError:
            logger.exception("%s with %s", "pulled", "swordfish")
    assert "swordfish" not in caplog.text
    assert "(hidden)" in caplog.text
