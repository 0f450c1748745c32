"""The certificates that a JVM trusts by default, as its own `keytool` reads them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dcs.inventory import Commands, Java

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
KEYTOOL_FAULT = re.compile(r"^keytool .*?: (?:java[\w.]*: )?(.+)$", re.MULTILINE)
OPTIONS = "-J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC -J-Duser.language=en"
"""They make a JVM of half a second a quicker one, and its complaints English."""

LIST_STORE = """
home=%s named=%s
for store in "${named:-$home/lib/security/jssecacerts}" "$home/lib/security/cacerts"; do
  [ -f "$store" ] && [ -r "$store" ] && break
done
echo "$store"
"$home"/bin/keytool %s -list -rfc -keystore "$store" %s
"""
"""Looks for the store as the JVM does, which takes `cacerts` where it cannot read the one that its
options name, and asks for it without a password that the JVM would not have: of a PKCS12 store that
has one nothing is read then, without an error.

https://docs.oracle.com/en/java/javase/17/security/java-secure-socket-extension-jsse-reference-guide.html
https://github.com/docker-library/openjdk/issues/261
"""


@dataclass(frozen=True)
class TrustStore:
    """A JVM's trust store."""

    path: str
    certificates: frozenset[str]
    """Each as the base64 of its DER form, without white space."""
    fault: str | None = None
    """Why the JVM cannot read it, in the words of `keytool`."""


def read(shell: Commands, java: Java) -> TrustStore | None:
    """Return what a JVM trusts, None where no `keytool` answers; takes half a second."""
    setting = java.trust_store
    options = []
    if setting and setting.type:
        options += ["-storetype", setting.type]
    if setting and setting.password:
        options += ["-storepass", setting.password]
    home, named = shlex.quote(java.home), shlex.quote(setting.path if setting else "")
    completed = shell.run(LIST_STORE % (home, named, OPTIONS, shlex.join(options)))
    path, _, listing = completed.stdout.decode(errors="replace").partition("\n")
    fault = KEYTOOL_FAULT.search(listing)
    if completed.returncode and fault is None:
        return None
    return TrustStore(path, certificates(listing), fault[1] if fault else None)


def certificates(text: str) -> frozenset[str]:
    """Return the certificates of a PEM file, each as the base64 of its DER form."""
    return frozenset("".join(body.split()) for body in CERTIFICATE.findall(text))
