from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.checks import access, secrets
from pytest_dcs.image import History
from pytest_dcs.image.accounts import AccountFiles
from pytest_dcs.image.layers import File, Layer, Layers
from pytest_dcs.image.secret_files import SecretFiles
from pytest_dcs.rules import NotApplicable, RuleBroken

from .fake_host import an_image, finding_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dcs.image.layers import FileKind
    from pytest_dcs.rules import Item

PASSWORD = "kr4n-w0lke"
INDEX = f"https://ci:{PASSWORD}@index.example.com/simple"
NETRC = f"machine index.example.com\nlogin ci\npassword {PASSWORD}\n"
READERS = (SecretFiles(), AccountFiles())


def items_of(check: Callable[..., None], *facts: object) -> tuple[Item, ...]:
    """Return what a check finds; no secret may be in it."""
    with pytest.raises(RuleBroken) as caught:
        check(*facts)
    assert PASSWORD not in repr(caught.value)
    return caught.value.items


def subjects_of(check: Callable[..., None], *facts: object) -> list[str]:
    return [item.subject for item in items_of(check, *facts)]


def a_layer(
    contents: Mapping[str, str] | None = None,
    *entries: File,
    removed: tuple[str, ...] = (),
    emptied: tuple[str, ...] = (),
) -> Layer:
    """Return a layer with files of these contents, as the readers read them."""
    files = [an_entry(path, size=len(text)) for path, text in (contents or {}).items()]
    notes: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for file in files:
        for reader in READERS:
            if reader.wants(file):
                content = io.BytesIO((contents or {})[file.path].encode())
                notes[reader.name] = (*notes.get(reader.name, ()), *reader.read(file, content))
    digest = json.dumps([contents, removed, emptied, entries])
    return Layer(digest, files=(*files, *entries), removed=removed, emptied=emptied, notes=notes)


def an_entry(
    path: str, kind: FileKind = "file", *, mode: int = 0o644, size: int = 0, link: str = ""
) -> File:
    return File(path, kind, mode=mode, uid=0, gid=0, size=size, link=link)


def a_directory(path: str, mode: int) -> File:
    return an_entry(path, "directory", mode=mode)


def steps(*lines: str) -> tuple[History, ...]:
    return tuple(map(History, lines))


def test_a_config_without_secrets_is_good() -> None:
    secrets.test_no_secret_in_config(
        an_image(
            environment={"PATH": "/bin", "TOKEN_FILE": "/run/secrets/token", "GIT_SHA": "3dee1e"},
            labels={
                "org.opencontainers.image.revision": "3dee1ebcfdb5a9c33abd3d2d11db4b92aa3bc1c5"
            },
            history=steps("ARG NPM_TOKEN", "RUN |1 NPM_TOKEN= /bin/sh -c npm install"),
        )
    )


def test_each_place_of_a_config_is_looked_at() -> None:
    found = subjects_of(
        secrets.test_no_secret_in_config,
        an_image(
            environment={"PIP_INDEX_URL": INDEX},
            labels={"registry-password": PASSWORD},
            entrypoint=("serve", f"--token={PASSWORD}"),
            command=("--password", PASSWORD),
            health_check=("CMD-SHELL", f"curl -u ci:{PASSWORD} http://localhost"),
        ),
    )
    assert found == [
        "ENV PIP_INDEX_URL: password in a URL",
        "LABEL registry-password: value of registry-password",
        "ENTRYPOINT: value of token",
        "CMD: value of password",
        "HEALTHCHECK: password for curl",
    ]


def test_a_variable_is_one_leak_though_the_history_has_it_too() -> None:
    image = an_image(
        environment={"PIP_INDEX_URL": INDEX},
        history=steps(f"/bin/sh -c #(nop)  ENV PIP_INDEX_URL={INDEX}", "RUN pip install app"),
    )
    assert subjects_of(secrets.test_no_secret_in_config, image) == [
        "ENV PIP_INDEX_URL: password in a URL"
    ]


def test_a_variable_that_a_later_line_empties_is_in_the_history() -> None:
    image = an_image(
        environment={"NPM_TOKEN": ""}, history=steps(f"ENV NPM_TOKEN={PASSWORD}", "ENV NPM_TOKEN=")
    )
    (item,) = items_of(secrets.test_no_secret_in_config, image)
    assert item.subject == "history, ENV: value of NPM_TOKEN"
    assert item.found == "a secret in step 1 of 2, ENV NPM_TOKEN …"


def test_a_build_argument_is_one_leak_in_all_its_steps() -> None:
    image = an_image(
        history=steps(
            f"ARG NPM_TOKEN={PASSWORD}",
            f"RUN |1 NPM_TOKEN={PASSWORD} /bin/sh -c npm install # buildkit",
            f"RUN |1 NPM_TOKEN={PASSWORD} /bin/sh -c npm test # buildkit",
        )
    )
    assert subjects_of(secrets.test_no_secret_in_config, image) == [
        "history, ARG: value of NPM_TOKEN"
    ]


def test_a_waiver_for_one_secret_covers_no_other() -> None:
    image = an_image(
        history=steps(
            f"RUN pip install --index-url {INDEX} app",
            "RUN pip install --index-url https://ci:sp4tz-m31se@index.example.com app",
        )
    )
    assert subjects_of(secrets.test_no_secret_in_config, image) == [
        "history, RUN: password in a URL",
        "history, RUN: password in a URL (2)",
    ]


def test_a_file_with_a_secret_is_found_with_the_step_that_brought_it() -> None:
    layers = Layers(
        (a_layer({"/etc/os-release": "ID=debian"}), a_layer({"/root/.netrc": NETRC})),
        steps("ADD rootfs.tar /", "COPY .netrc /root/.netrc"),
    )
    (item,) = items_of(secrets.test_no_secret_in_files, layers)
    assert item.subject == "/root/.netrc line 3: password"
    assert item.found == "a secret, brought by layer 2 of 2 (COPY … /root/.netrc)"
    secrets.test_no_secret_in_hidden_files(layers)


@pytest.mark.parametrize(
    "later",
    [
        a_layer(removed=("/root/.netrc",)),
        a_layer(removed=("/root",)),
        a_layer(emptied=("/root",)),
        a_layer({"/root/.netrc": "machine index.example.com\n"}),
        a_layer({}, an_entry("/root/.netrc", "symlink", link="/run/secrets/netrc")),
    ],
    ids=["removed", "folder removed", "folder emptied", "written anew", "a link in its place"],
)
def test_a_file_that_a_later_layer_hides_still_leaks(later: Layer) -> None:
    layers = Layers(
        (a_layer({"/root/.netrc": NETRC}), later),
        steps("COPY .netrc /root/.netrc", "RUN rm /root/.netrc"),
    )
    (item,) = items_of(secrets.test_no_secret_in_hidden_files, layers)
    assert item.subject == "/root/.netrc line 3: password"
    assert item.found == (
        "a secret, brought by layer 1 of 2 (COPY … /root/.netrc), and a later layer only hides it"
    )
    secrets.test_no_secret_in_files(layers)


def test_a_copy_in_a_later_layer_is_the_same_leak() -> None:
    copied = {"/root/.netrc": f"# by ansible\n{NETRC}"}
    layers = Layers(
        (a_layer({"/root/.netrc": NETRC}), a_layer(copied)),
        steps("COPY .netrc /root/.netrc", "RUN chmod 600 /root/.netrc"),
    )
    (item,) = items_of(secrets.test_no_secret_in_files, layers)
    assert "brought by layer 1 of 2 (COPY" in item.found
    secrets.test_no_secret_in_hidden_files(layers)


def test_a_file_that_comes_back_after_its_removal_is_seen() -> None:
    layers = Layers(
        (
            a_layer({"/root/.netrc": NETRC}),
            a_layer(removed=("/root/.netrc",)),
            a_layer({"/root/.netrc": NETRC}),
        )
    )
    assert subjects_of(secrets.test_no_secret_in_files, layers) == ["/root/.netrc line 3: password"]
    secrets.test_no_secret_in_hidden_files(layers)


def test_an_image_without_a_history_says_where_all_the_same() -> None:
    (item,) = items_of(secrets.test_no_secret_in_files, Layers((a_layer({"/root/.netrc": NETRC}),)))
    assert item.found == "a secret, brought by layer 1 of 1"


def test_ssh_host_keys_are_found_in_any_layer() -> None:
    private, public = "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub"
    layers = Layers(
        (a_layer({}, an_entry(private), an_entry(public)), a_layer(removed=(private,))),
        steps("RUN apt-get install openssh-server", f"RUN rm {private}"),
    )
    (item,) = items_of(access.test_no_ssh_host_keys, layers)
    assert item.subject == private
    assert item.found == "a private key in layer 1 of 2 (RUN apt-get …)"
    access.test_no_ssh_host_keys(Layers((a_layer({}, an_entry(public)),)))


@pytest.mark.parametrize(
    "name",
    ["DATABRICKS_HOST", "AWS_PROFILE", "AZURE_CLIENT_ID", "GOOGLE_APPLICATION_CREDENTIALS"],
)
def test_variables_that_change_who_a_job_is_are_found(name: str) -> None:
    found = finding_of(
        secrets.test_no_identity_variables, an_image(environment={name: "production"})
    )
    assert found.startswith(f"ENV {name}: found set in the image; needed not set")
    assert "production" not in found


def test_an_identity_that_is_a_secret_is_one_finding_only() -> None:
    image = an_image(environment={"AWS_SECRET_ACCESS_KEY": PASSWORD})
    secrets.test_no_identity_variables(image)
    assert subjects_of(secrets.test_no_secret_in_config, image) == [
        "ENV AWS_SECRET_ACCESS_KEY: value of AWS_SECRET_ACCESS_KEY"
    ]


def test_other_variables_of_a_cloud_change_no_identity() -> None:
    secrets.test_no_identity_variables(
        an_image(
            environment={
                "AWS_REGION": "eu-central-1",
                "DATABRICKS_TOKEN": "",
                "GOOGLE_CLOUD_PROJECT": "ml",
            }
        )
    )


def test_the_port_of_the_web_terminal_is_found() -> None:
    access.test_web_terminal_port_is_free(an_image(exposed_ports=("8080/tcp", "7681/udp")))
    found = finding_of(
        access.test_web_terminal_port_is_free, an_image(exposed_ports=("7681/tcp", "8080/tcp"))
    )
    assert "7681/tcp" in found


SHADOW = "root:*:1::::::\nubuntu:!:1::::::\n"


def test_locked_accounts_are_good() -> None:
    access.test_accounts_have_no_password(Layers((a_layer({"/etc/shadow": SHADOW}),)))
    access.test_accounts_have_no_password(Layers(()))


def test_passwords_that_are_set_or_empty_are_found() -> None:
    shadow = f"{SHADOW}me:$6$salt$hash:1::::::\nguest::1::::::\nlibraries:$6$a$b:1::::::\n"
    layers = Layers((a_layer({"/etc/shadow": shadow}),))
    assert [str(item) for item in items_of(access.test_accounts_have_no_password, layers)] == [
        "user me: found a password that is set; needed locked: nobody logs in by password",
        "user guest: found an empty password; needed locked: nobody logs in by password",
    ]


def test_the_newest_state_of_the_accounts_counts() -> None:
    entered = a_layer({"/etc/shadow": "me::1::::::\n"})
    locked = a_layer({"/etc/shadow": SHADOW})
    access.test_accounts_have_no_password(Layers((entered, locked)))
    access.test_accounts_have_no_password(Layers((entered, a_layer(removed=("/etc/shadow",)))))
    assert subjects_of(access.test_accounts_have_no_password, Layers((locked, entered))) == [
        "user me"
    ]


def test_directories_that_only_root_may_write_to_are_good() -> None:
    layers = Layers(
        (
            a_layer(
                {},
                a_directory("/tmp", 0o1777),
                a_directory("/usr/local/bin", 0o755),
                a_directory("/databricks/jars", 0o775),
                an_entry("/bin", "symlink", mode=0o777, link="usr/bin"),
            ),
        )
    )
    access.test_code_directories_are_protected(an_image(), layers)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
@pytest.mark.parametrize(
    "path",
    [
        "/opt/tools/bin",
        "/databricks/jars",
        "/databricks/python3/lib/python3.11/site-packages",
        "/usr/lib/python3/dist-packages",
    ],
)
def test_a_directory_of_code_that_all_may_write_to_is_found(path: str, mode: int) -> None:
    image = an_image(environment={"PATH": "/opt/tools/bin:.:/usr/bin"})
    layers = Layers((a_layer({}, a_directory(path, mode)),))
    found = finding_of(access.test_code_directories_are_protected, image, layers)
    assert found == f"{path}: found mode {mode:04o}; needed not writable by all users"


def test_links_on_path_are_followed() -> None:
    layers = Layers(
        (
            a_layer(
                {},
                an_entry("/bin", "symlink", link="usr/bin"),
                an_entry("/opt/java", "symlink", link="../usr/lib/jvm/java-17"),
                an_entry("/opt/loop", "symlink", link="/opt/loop"),
                a_directory("/usr/bin", 0o777),
                a_directory("/usr/lib/jvm/java-17/bin", 0o777),
            ),
        )
    )
    image = an_image(environment={"PATH": "/bin:/usr/bin:/opt/java/bin:/opt/loop/bin:/nowhere"})
    assert subjects_of(access.test_code_directories_are_protected, image, layers) == [
        "/usr/bin",
        "/usr/lib/jvm/java-17/bin",
    ]


def with_base(name: str) -> Any:
    return an_image(labels={"org.opencontainers.image.base.name": name})


@pytest.mark.parametrize("tag", ["15.4", "latest", "experimental"])
def test_a_base_that_is_never_patched_is_found(tag: str) -> None:
    access.test_base_image_is_patched(with_base("databricksruntime/python:15.4-LTS"))
    image = with_base(f"registry.example.com/databricksruntime/python:{tag}")
    assert f"found python:{tag}" in finding_of(access.test_base_image_is_patched, image)


@pytest.mark.parametrize(
    "image",
    [
        an_image(),
        with_base("ubuntu:24.04"),
        with_base("databricksruntime/gpu-venv:cuda11.8"),
        with_base("databricksruntime/python@sha256:" + "3d" * 32),
        with_base("my base image"),
        with_base("databricksruntime"),
    ],
)
def test_an_unknown_base_is_no_finding(image: Any) -> None:
    with pytest.raises(NotApplicable):
        access.test_base_image_is_patched(image)
