"""What this machine needs to reach its package sources, in a form that a container can use."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
BUNDLE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")


def _output(*command: str) -> str:
    """Return what a command prints, or nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def apt_sources(codename: str) -> str:
    """Return this machine's lines of sources.list for a Debian release; empty on other systems."""
    targets = _output(
        "apt-get",
        "indextargets",
        "--format",
        "$(CREATED_BY)|$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
    )
    suites: dict[tuple[str, str], list[str]] = {}
    for line in targets.splitlines():
        creator, origin, address, release, component = line.split("|")
        if creator == "Packages" and origin == "Debian" and release.startswith(codename):
            components = suites.setdefault((address, release), [])
            if component not in components:
                components.append(component)
    return "".join(
        f"deb {address} {release} {' '.join(components)}\n"
        for (address, release), components in suites.items()
    )


def apt_options() -> list[str]:
    """Return this machine's options of apt for proxies, time limits and old mirrors."""
    dump = _output("apt-config", "dump", "--no-empty")
    wanted = re.compile(
        r"Acquire::(?:https?::(?:Proxy|Timeout)\b|Retries\b|Check-Valid-Until\b|Check-Date\b)"
    )
    return [line for line in dump.splitlines() if wanted.match(line)]


def certificates() -> list[str]:
    """Return the certificates that this machine trusts beyond its distribution's own."""
    system = set(_certificates_of(SYSTEM_BUNDLE))
    configured = {os.environ.get(name, "") for name in BUNDLE_VARIABLES}
    configured.add(_pip_settings().get("cert", ""))
    bundles = [Path(path) for path in sorted(configured) if path]
    own = sorted(LOCAL_CERTIFICATES.glob("**/*.crt"))
    found = [each for path in own for each in _certificates_of(path)]
    found += [each for path in bundles for each in _certificates_of(path) if each not in system]
    return list(dict.fromkeys(found))


def _certificates_of(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return CERTIFICATE.findall(text)


def pip_configuration(*, bundle: Path | None) -> str:
    """Return a pip.conf that reaches this machine's package index from a container.

    Places on this machine's own disk mean nothing there and are left out. `bundle` is the
    container's file of trusted certificates, where pip's own will not do.
    """
    settings = {key: value for key, value in _pip_settings().items() if key in PIP_KEYS}
    if "default-timeout" in settings:
        settings.setdefault("timeout", settings.pop("default-timeout"))
    if bundle is not None:
        settings["cert"] = str(bundle)
    lines = [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join(["[global]", *lines, ""]) if lines else ""


def _pip_settings() -> dict[str, str]:
    """Return pip's settings, the later files and the environment over the earlier ones."""
    listing = _output(sys.executable, "-m", "pip", "config", "list")
    settings: dict[str, str] = {}
    for line in listing.splitlines():
        name, _, quoted = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in ("global", "install", ":env:"):
            words = str(ast.literal_eval(quoted)).split()
            value = " ".join(word for word in words if not word.startswith("file:"))
            if value:
                settings[key] = value
    return settings


def proxy_arguments() -> list[str]:
    """Return build arguments that hand on this shell's proxies.

    Docker knows these names: their values stay out of the image's environment and history.
    """
    names = [*PROXY_VARIABLES, *(name.lower() for name in PROXY_VARIABLES)]
    return [f"--build-arg={name}" for name in names if os.environ.get(name)]
