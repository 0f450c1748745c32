from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import trust_store
from pytest_dcs.inventory import Java, TrustStoreSetting, parse_java

if TYPE_CHECKING:
    from pathlib import Path

LISTING = """\
Keystore type: JKS
Keystore provider: SUN

Your keystore contains 1 entry

Alias name: debian:root.pem
Entry type: trustedCertEntry

-----BEGIN CERTIFICATE-----
MIIB
AAEC
-----END CERTIFICATE-----

"""
NO_FILE = "keytool error: java.lang.Exception: Keystore file does not exist: /opt/trust.jks\n"
NO_STORE = "keytool error: java.io.IOException: Invalid keystore format\n"


@dataclass
class LocalShell:
    """Runs commands on this machine."""

    def run(self, command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)


@pytest.fixture
def java(tmp_path: Path) -> Java:
    """Return a JDK whose keytool tells what it was asked and prints the file `answer`."""
    for folder in ("bin", "lib/security"):
        tmp_path.joinpath(folder).mkdir(parents=True)
    keytool = tmp_path / "bin" / "keytool"
    keytool.write_text(
        '#!/bin/sh\ncd "${0%/*}/.." && echo "$@" >asked && cat >>asked && cat answer\n'
        "! grep -q error answer\n"
    )
    keytool.chmod(0o755)
    tmp_path.joinpath("answer").write_text(LISTING)
    return Java(str(tmp_path), 17, "17.0.15")


def test_the_certificates_of_the_jdks_store_are_read(java: Java) -> None:
    store = trust_store.read(LocalShell(), java)

    assert store == trust_store.TrustStore(
        f"{java.home}/lib/security/cacerts", frozenset({"MIIBAAEC"})
    )


def test_jssecacerts_goes_before_cacerts(java: Java, tmp_path: Path) -> None:
    tmp_path.joinpath("lib/security/jssecacerts").touch()

    store = trust_store.read(LocalShell(), java)

    assert store is not None
    assert store.path.endswith("/jssecacerts")


def test_keytool_gets_no_password_that_the_jvm_would_not_have(java: Java, tmp_path: Path) -> None:
    trust_store.read(LocalShell(), java)

    asked = tmp_path.joinpath("asked").read_text()
    assert "-storepass" not in asked
    assert "-cacerts" not in asked, "Java 8 does not know it"
    assert len(asked.splitlines()) == 1, "it was given something to read"


def test_a_store_that_options_name_is_asked_with_their_password(java: Java, tmp_path: Path) -> None:
    own = tmp_path / "trust it.p12"
    own.touch()
    described = parse_java(
        f"    java.home = {java.home}\n    java.version = 17.0.15\n"
        f"    javax.net.ssl.trustStore = {own}\n"
        "    javax.net.ssl.trustStorePassword = change it\n"
        "    javax.net.ssl.trustStoreType = PKCS12\n"
    )
    assert described is not None
    assert described.trust_store == TrustStoreSetting(str(own), "PKCS12", "change it")

    store = trust_store.read(LocalShell(), described)

    assert store is not None
    assert store.path == str(own)
    asked = tmp_path.joinpath("asked").read_text()
    assert f"-keystore {own} -storetype PKCS12 -storepass change it\n" in asked


def test_a_store_that_does_not_exist_is_not_the_jvms(java: Java) -> None:
    named = replace(java, trust_store=TrustStoreSetting("/does/not/exist.jks"))

    store = trust_store.read(LocalShell(), named)

    assert store is not None
    assert store.path == f"{java.home}/lib/security/cacerts"


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (NO_FILE, "Keystore file does not exist: /opt/trust.jks"),
        (NO_STORE, "Invalid keystore format"),
    ],
)
def test_what_keytool_objects_to_is_the_fault(
    java: Java, tmp_path: Path, said: str, fault: str
) -> None:
    tmp_path.joinpath("answer").write_text(said)

    store = trust_store.read(LocalShell(), java)

    assert store is not None
    assert not store.certificates
    assert store.fault == fault


def test_without_keytool_nothing_is_known(java: Java, tmp_path: Path) -> None:
    tmp_path.joinpath("bin/keytool").unlink()

    assert trust_store.read(LocalShell(), java) is None


def test_a_keytool_that_crashes_says_nothing_of_the_store(java: Java, tmp_path: Path) -> None:
    tmp_path.joinpath("bin/keytool").write_text("#!/bin/sh\nkill -ABRT $$\n")

    assert trust_store.read(LocalShell(), java) is None


def test_java_names_no_store_of_its_own_by_default() -> None:
    described = parse_java("    java.home = /opt/jdk\n    java.version = 17.0.15\n")

    assert described is not None
    assert described.trust_store is None
