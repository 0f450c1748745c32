"""JVM, SYS: the certificates that the JVM and Python trust, each from a store of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.inventory import parse_files
from pytest_dcs.rules import Item, NotApplicable, require, require_none, rule
from pytest_dcs.trust_store import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testinfra.host import Host

    from pytest_dcs.inventory import Python
    from pytest_dcs.trust_store import TrustStore

MINIMAL_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/minimal/Dockerfile"
)

READ_LOCAL_CERTIFICATES = r"""
find /usr/local/share/ca-certificates /etc/pki/ca-trust/source/anchors -type f -exec sh -c \
  'for file; do printf "\0\0%s\0" "$file" && cat "$file"; done' sh {} + 2>/dev/null
"""
"""Reads what `update-ca-certificates` (Debian) and `update-ca-trust` (Red Hat) add to the system's
store, in the form of `inventory.READ_FILES`."""

READ_PYTHON_BUNDLE = """
import glob, os, sys
path = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
if not path:
    try:
        import certifi
    except ImportError:
        sys.exit(3)
    path = certifi.where()
print(path)
for file in glob.glob(path + "/*") if os.path.isdir(path) else [path]:
    with open(file, errors="replace") as lines:
        print(lines.read())
"""
"""Prints the file that `requests` takes and what is in it.

https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification
"""

USES_SYSTEM_STORE = "pip-system-certs"
"""A distribution that makes `requests` ask the system's store."""


@rule(
    "JVM008",
    "jvm-trust-store",
    level="fail",
    effect="disables-feature",
    feature="jvm",
    where="cluster",
    requires=("JVM001", "JVM004"),
    sources=(
        "https://github.com/docker-library/openjdk/issues/261",
        "https://github.com/microsoft/openjdk-docker/issues/74",
        MINIMAL_DOCKERFILE,
    ),
)
def test_jvm_trust_store(dcs_trust_store: TrustStore) -> None:
    """Without a certificate to trust the JVM refuses every https address, cloud storage among them:
    "InvalidAlgorithmParameterException: the trustAnchors parameter must be non-empty". Of a PKCS12
    store that has a password it reads nothing without one. The official Dockerfiles install or
    configure ca-certificates-java for its sake.

    Fix: `RUN apt-get update && apt-get install -y ca-certificates-java` after the JDK; where it was
    installed before, `RUN /var/lib/dpkg/info/ca-certificates-java.postinst configure`.
    """
    require(
        dcs_trust_store.certificates,
        dcs_trust_store.path,
        found=dcs_trust_store.fault or "no certificate that the JVM can read",
        needed="the certificates that Java is to trust",
    )


@rule(
    "JVM009",
    "local-certificates-in-java",
    level="advice",
    effect="disables-feature",
    feature="jvm",
    where="cluster",
    requires=("JVM008",),
    sources=(
        MINIMAL_DOCKERFILE,
        "https://github.com/bitnami/containers/issues/49123",
        "https://github.com/corretto/corretto-8-docker/issues/47",
    ),
)
def test_local_certificates_in_java(host: Host, dcs_trust_store: TrustStore) -> None:
    """A certificate that was added for the system is not yet one of Java's: Zulu "comes with its
    own cert store". `curl` then reaches the company's servers and Spark does not: "PKIX path
    building failed: unable to find valid certification path to requested target".

    Fix: `RUN cd /usr/local/share/ca-certificates && keytool -importcert -noprompt -alias company
    -cacerts -storepass changeit -file company.crt`; with Java 8 `-keystore
    $JAVA_HOME/jre/lib/security/cacerts` instead of `-cacerts`.
    """
    require_none(unknown_to(dcs_trust_store.path, dcs_trust_store.certificates, local(host)))


@rule(
    "SYS022",
    "local-certificates-in-python",
    level="advice",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification",
        "https://github.com/bitnami/containers/issues/49123",
    ),
)
def test_local_certificates_in_python(host: Host, dcs_python: Python) -> None:
    """A certificate that was added for the system is not yet one of Python's: `requests`, and with
    it the SDK of Databricks and MLflow, trusts those of the package certifi alone:
    "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate".

    Fix: `ENV REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt`
    after `RUN update-ca-certificates`; for httpx and others set SSL_CERT_FILE to the same file.
    """
    expected = local(host)
    if USES_SYSTEM_STORE in dcs_python.packages:
        raise NotApplicable(f"{USES_SYSTEM_STORE} makes Python ask the system's store")
    result = host.run("cd / && %s -I -c %s", dcs_python.executable, READ_PYTHON_BUNDLE)
    path, _, bundle = result.stdout.partition("\n")
    if not path:
        raise NotApplicable("the environment has neither certifi nor a bundle by a variable")
    require_none(unknown_to(path, certificates(bundle), expected))


def local(host: Host) -> Mapping[str, frozenset[str]]:
    """Return the certificates that were added for the system, by file."""
    files = parse_files(host.run(READ_LOCAL_CERTIFICATES).stdout)
    found = {name: certificates(text) for name, text in files.items()}
    if not any(found.values()):
        raise NotApplicable("the image adds no certificates to the system's")
    return found


def unknown_to(
    store: str, trusted: frozenset[str], expected: Mapping[str, frozenset[str]]
) -> Iterator[Item]:
    """Yield an item for each file with a certificate that is not trusted."""
    for name in sorted(expected):
        if expected[name] - trusted:
            yield Item(name, f"not in {store}", "trusted there too")
