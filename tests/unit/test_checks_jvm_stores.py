from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.checks import jvm_stores
from pytest_dcs.inventory import Python
from pytest_dcs.rules import NotApplicable
from pytest_dcs.trust_store import TrustStore

from .fake_host import EMPTY_FILE, FakeHost, Result, finding_of

if TYPE_CHECKING:
    from pathlib import Path

CACERTS = "/usr/lib/jvm/zulu17-ca-amd64/lib/security/cacerts"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
COMPANY = "/usr/local/share/ca-certificates/company.crt"
ADDED = Result(f"\0\0{COMPANY}\0{CERTIFICATE.format('COMP' * 16)}")
PYTHON = Python("/databricks/python3/bin/python", "3.11.11", "final", "/databricks/python3")
PUBLIC = CERTIFICATE.format("PUBL" * 16)


def a_store(*certificates: str, fault: str | None = None) -> TrustStore:
    return TrustStore(CACERTS, frozenset(certificates), fault)


def test_a_store_without_certificates_is_found() -> None:
    jvm_stores.test_jvm_trust_store(a_store("PUBL"))
    found = finding_of(jvm_stores.test_jvm_trust_store, a_store(fault="Invalid keystore format"))
    assert found.startswith(f"{CACERTS}: found Invalid keystore format; needed")
    assert "no certificate" in finding_of(jvm_stores.test_jvm_trust_store, a_store())


def test_a_certificate_that_java_does_not_have_is_found() -> None:
    check = jvm_stores.test_local_certificates_in_java
    host = FakeHost({"ca-certificates": ADDED})
    check(host, a_store("PUBL" * 16, "COMP" * 16))
    found = finding_of(check, host, a_store("PUBL" * 16))
    assert found == f"{COMPANY}: found not in {CACERTS}; needed trusted there too"


def test_each_certificate_of_a_file_counts() -> None:
    two = Result(ADDED.stdout + CERTIFICATE.format("MORE" * 16))
    host = FakeHost({"ca-certificates": two})
    found = finding_of(
        jvm_stores.test_local_certificates_in_java, host, a_store("PUBL" * 16, "COMP" * 16)
    )
    assert found.startswith(COMPANY)


@pytest.mark.parametrize(
    "added", [EMPTY_FILE, Result(f"\0\0{COMPANY}\0no certificate")], ids=["none", "no PEM"]
)
def test_without_certificates_of_its_own_nothing_is_asked(added: Result) -> None:
    host = FakeHost({"ca-certificates": added})
    with pytest.raises(NotApplicable):
        jvm_stores.test_local_certificates_in_java(host, a_store("PUBL"))
    with pytest.raises(NotApplicable):
        jvm_stores.test_local_certificates_in_python(host, PYTHON)


def test_a_certificate_that_python_does_not_have_is_found() -> None:
    check = jvm_stores.test_local_certificates_in_python
    bundle = "/databricks/python3/lib/python3.11/site-packages/certifi/cacert.pem"
    good = Result(f"{bundle}\n{PUBLIC}{CERTIFICATE.format('COMP' * 16)}")
    check(FakeHost({"find": ADDED, "certifi": good}), PYTHON)
    host = FakeHost({"find": ADDED, "certifi": Result(f"{bundle}\n{PUBLIC}")})
    assert finding_of(check, host, PYTHON).startswith(f"{COMPANY}: found not in {bundle};")


def test_python_without_a_bundle_is_not_judged() -> None:
    host = FakeHost({"find": ADDED, "certifi": Result(rc=3)})
    with pytest.raises(NotApplicable, match="neither certifi"):
        jvm_stores.test_local_certificates_in_python(host, PYTHON)


def test_python_that_asks_the_system_is_not_judged() -> None:
    python = Python(*("", "", "", ""), packages={"pip-system-certs": "4.0"})
    with pytest.raises(NotApplicable, match="pip-system-certs"):
        jvm_stores.test_local_certificates_in_python(FakeHost({"find": ADDED}), python)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("as_folder", [True, False], ids=["folder", "file"])
def test_python_tells_the_bundle_that_a_variable_names(
    tmp_path: Path, variable: str, as_folder: bool
) -> None:
    file = tmp_path / "company.pem"
    file.write_text(PUBLIC)
    bundle = str(tmp_path if as_folder else file)
    done = subprocess.run(
        [sys.executable, "-I", "-c", jvm_stores.READ_PYTHON_BUNDLE],
        env={**os.environ, "REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", variable: bundle},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{bundle}\n{PUBLIC}\n"


def test_added_certificates_are_listed_by_a_shell(tmp_path: Path) -> None:
    tmp_path.joinpath("a b.crt").write_text(PUBLIC)
    command = jvm_stores.READ_LOCAL_CERTIFICATES.replace("/usr/local/share/ca-certificates", "$0")
    done = subprocess.run(
        ["/bin/sh", "-c", command, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert f"\0\0{tmp_path}/a b.crt\0{PUBLIC}" in done.stdout


def test_the_script_is_python_37() -> None:
    ast.parse(jvm_stores.READ_PYTHON_BUNDLE, feature_version=(3, 7))
