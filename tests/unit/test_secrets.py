from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings

import pytest

from pytest_dcs.image import accounts, history, readers, secret_files, secrets
from pytest_dcs.image.layers import File, Layer

PASSWORD = "kr4n-w0lke"
TOKEN = "d0c5" * 8
"""Made up, and put together here: a scanner of this file is not to take them for real ones."""

SECRETS = {
    "password in a URL": f"ENV PIP_INDEX_URL=https://ci:{PASSWORD}@index.example.com/simple",
    "token in a URL": f"git clone https://{TOKEN}@git.example.com/team/app",
    "GitHub Token (ghp_…)": f"git clone https://ghp_{TOKEN}d0c5@git.example.com/team/app",
    "GitHub token (github_pat_…)": f"echo github_pat_{TOKEN} | gh auth login",
    "Databricks token (dapi…)": f"databricks configure --with dapi{TOKEN}",
    "Databricks OAuth secret (dose…)": f"login with dose{TOKEN}",
    "Hugging Face token (hf_…)": f"huggingface-cli login hf_{TOKEN}",
    "AWS Access Key (AKIA…)": "aws configure AKIA" + "Q7B2" * 4,
    "Azure Storage Account access key": f"AccountName=a;AccountKey={'aB3/' * 22};",
    "JSON Web Token (eyJ…)": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2JvZHkifQ.c2ln",
    "Private Key": "-----BEGIN RSA PRIVATE KEY-----",
    "Authorization header": f'curl -H "Authorization: Basic {PASSWORD}" https://a.example.com',
    "password for curl": f"curl --silent -u ci:{PASSWORD} https://a.example.com",
    "password for netrc": f"RUN echo 'machine a\\nlogin b\\npassword {PASSWORD}' > /root/.netrc",
    "value of NPM_TOKEN": f"RUN |1 NPM_TOKEN={PASSWORD} /bin/sh -c npm install # buildkit",
    "value of password": f"twine upload --password {PASSWORD} dist/*",
    "value of Djavax.net.ssl.trustStorePassword": (
        f"-Xmx1g -Djavax.net.ssl.trustStorePassword={PASSWORD}"
    ),
    "value of clientSecret": f'{{"clientId": "a", "clientSecret": "{PASSWORD}"}}',
    "value of token": f'echo "{{\\"token\\": \\"{PASSWORD}\\"}}" > settings.json',
    "value of aws_secret_access_key": f"aws_secret_access_key = {'aB3/' * 10}",
    "value of DB_PASS": f"export DB_PASS='{PASSWORD} with spaces'",
}

NO_SECRETS = [
    "ARG NPM_TOKEN",
    "RUN |1 NPM_TOKEN= /bin/sh -c npm install",
    "PASSWORD= apt-get install curl",
    "ENV PIP_INDEX_URL=https://ci:${TOKEN}@index.example.com/simple",
    "git clone https://$USER:$TOKEN@git.example.com/app",
    "TOKEN=$(cat /run/secrets/token) npm install",
    "TOKEN={{secrets/scope/key}}",
    "password = %(token)s",
    "password=${{ secrets.TOKEN }}",
    'token = os.environ["TOKEN"]',
    "RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip install app",
    "docker build --secret id=pip,src=pip.conf .",
    "DB_PASSWORD=/run/secrets/password",
    "TOKEN_FILE=/run/secrets/token",
    "SECRET_SCOPE=production",
    "token=https://login.example.com/oauth2/token",
    "trustStorePassword=changeit",
    "MYSQL_ROOT_PASSWORD=changeme",
    "NPM_TOKEN=your-token-here",
    'npm_token = "<token of npm>"',
    "password=abcdefgh",
    "aws configure AKIAIOSFODNN7EXAMPLE",
    "DATABRICKS_TOKEN=dapi" + "0" * 32,
    "DATABRICKS_TOKEN=dapi" + "x" * 32,
    "https://user:password@index.example.com/simple",
    "MAX_TOKEN=4096",
    "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
    "GIT_SHA=3dee1ebcfdb5a9c33abd3d2d11db4b92aa3bc1c5",
    "PYTHON_SHA256=" + "0419e908" * 8,
    "BUILD=6b1b36cb-0d1c-4c4b-9b1a-2f6e0a6f1a11",
    "FROM python@sha256:" + "3dee1ebc" * 8,
    "TOKENIZERS_PARALLELISM=false",
    "GIT_ASKPASS=/usr/bin/true",
    'if [ "$TOKEN" = "something" ]; then exit; fi',
    "sed 's|://[^:]*:[^@]*@|://|' sources.list",
    "passwd: files systemd",
    "passwd --lock libraries",
    "echo 'libraries:libraries' | chpasswd",
    "git@git.example.com:team/app.git",
    "ssh://git@git.example.com/team/app",
    "http://proxy.example.com:3128",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx me@example.com",
]


def reading(path: str, text: str | bytes) -> list[dict[str, object]]:
    """Return what the reader notes of a file that it wants."""
    content = text.encode() if isinstance(text, str) else text
    file = a_file(path, size=len(content))
    reader = secret_files.SecretFiles()
    assert reader.wants(file)
    return [dict(note) for note in reader.read(file, io.BytesIO(content))]


def a_file(path: str, *, size: int = 10) -> File:
    return File(path, "file", mode=0o644, uid=0, gid=0, size=size)


@pytest.mark.parametrize(("what", "text"), SECRETS.items())
def test_a_secret_is_named_by_its_kind(what: str, text: str) -> None:
    assert [secret.what for secret in secrets.scan(text)] == [what]


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_only_looks_like_a_secret_is_none(text: str) -> None:
    assert secrets.scan(text) == []


@pytest.mark.parametrize("text", SECRETS.values())
def test_nothing_that_is_shown_holds_the_secret(text: str) -> None:
    found = secrets.scan(text)
    shown = " ".join([repr(found), secrets.masked(text), history.outline(text)])
    for secret in found:
        assert secret.value not in shown
        assert secret.value not in secret.what


def test_secrets_are_told_by_their_lines() -> None:
    text = f"user = me\npassword = {PASSWORD}\n\ntoken = {TOKEN}\n"
    assert [(each.line, each.what) for each in secrets.scan(text)] == [
        (2, "value of password"),
        (4, "value of token"),
    ]


def test_a_variable_is_known_by_its_name_or_its_value() -> None:
    def found(name: str, value: str) -> list[str]:
        return [secret.what for secret in secrets.scan_variable(name, value)]

    assert found("NPM_TOKEN", f"{PASSWORD} and more") == ["value of NPM_TOKEN"]
    assert found("INDEX", f"https://ci:{PASSWORD}@index.example.com") == ["password in a URL"]
    assert found("GITHUB_TOKEN", f"ghp_{TOKEN}d0c5") == ["GitHub Token (ghp_…)"]
    assert found("NPM_TOKEN", "") == found("NPM_TOKEN", "none") == found("NPM_TOKEN_2", "$A") == []
    assert found("GPG_KEY", TOKEN) == found("TOKEN_FILE", PASSWORD) == []


def test_a_secret_in_an_endless_line_is_found() -> None:
    text = f"{'a1' * 300_000},token={PASSWORD},{'b2' * 300_000}"
    assert [secret.what for secret in secrets.scan(text)] == ["value of token"]


def test_a_text_full_of_secrets_is_read_to_a_limit() -> None:
    text = "\n".join(f"token={PASSWORD}-{number}" for number in range(1000))
    assert len(secrets.scan(text)) == secrets.MOST_SECRETS


def test_scanning_leaves_warnings_to_pytest() -> None:
    code = (
        "import logging, warnings; shown = warnings.showwarning\n"
        "from pytest_dcs.image import secrets\n"
        "assert 'detect_secrets' not in __import__('sys').modules\n"
        f"assert secrets.scan('password={PASSWORD}')\n"
        "assert 'detect_secrets.core.log' in __import__('sys').modules\n"
        "assert warnings.showwarning is shown\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_plugin_asks_a_service_about_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("a secret was sent somewhere")

    monkeypatch.setattr(requests.Session, "request", refuse)
    assert all(secrets.scan(text) for text in SECRETS.values())


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in (*SECRETS.values(), *NO_SECRETS):
            secrets.scan(text)
    assert not caplog.records


@pytest.mark.parametrize(
    ("path", "text", "line", "what"),
    [
        ("/root/.netrc", f"machine a.example.com\nlogin ci password {PASSWORD}", 2, "password"),
        ("/etc/apt/auth.conf.d/a.conf", f"machine a\npassword {PASSWORD}", 2, "password"),
        (
            "/etc/pip.conf",
            f"[global]\nindex-url = https://ci:{PASSWORD}@index.example.com/simple",
            2,
            "password in a URL",
        ),
        ("/root/.pypirc", f"[pypi]\npassword = {PASSWORD}", 2, "value of password"),
        ("/root/.databrickscfg", f"host = a\ntoken = dapi{TOKEN}", 2, "Databricks token (dapi…)"),
        ("/root/.databrickscfg", f"client_secret = {TOKEN}", 1, "value of client_secret"),
        (
            "/root/.aws/credentials",
            f"aws_secret_access_key = {'aB3/' * 10}",
            1,
            "value of aws_secret_access_key",
        ),
        (
            "/root/.docker/config.json",
            '{"auths": {"a": {"auth": "Y2k6a3I0biB3MGxrZQ=="}}}',
            1,
            "password for a registry",
        ),
        (
            "/root/.git-credentials",
            f"https://ci:{PASSWORD}@git.example.com",
            1,
            "password in a URL",
        ),
        ("/root/.npmrc", f"//a.example.com/:_authToken={TOKEN}", 1, "value of _authToken"),
        ("/root/.npmrc", "_auth=Y2k6a3I0biB3MGxrZQ==", 1, "password for a registry"),
        ("/root/.pgpass", f"db:5432:*:me:{PASSWORD}", 1, "password"),
        ("/root/.m2/settings.xml", f"<password>{PASSWORD}</password>", 1, "password"),
        ("/root/.kube/config", f"    client-key-data: {TOKEN}", 1, "private key"),
        ("/root/.cache/huggingface/token", f"{TOKEN}\n", 1, "token"),
        ("/app/.env", f"DB_PASSWORD='{PASSWORD}'", 1, "value of DB_PASSWORD"),
        ("/app/prod.tfvars", f'db_password = "{PASSWORD}"', 1, "value of db_password"),
        ("/srv/terraform.tfstate", f'  "password": "{PASSWORD}",', 1, "value of password"),
        ("/home/me/.ssh/deploy", "-----BEGIN OPENSSH PRIVATE KEY-----", 1, "Private Key"),
        ("/opt/app/server.key", "-----BEGIN PRIVATE KEY-----", 1, "Private Key"),
        ("/root/.bash_history", f"export TOKEN={PASSWORD}", 1, "value of TOKEN"),
        (
            "/databricks/driver/conf/00-custom-spark-driver-defaults.conf",
            f'"spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net" = "{TOKEN}"',
            1,
            "key of a storage account",
        ),
        (
            "/opt/spark/conf/spark-defaults.conf",
            f"spark.hadoop.fs.s3a.secret.key  {TOKEN}",
            1,
            "key of a storage account",
        ),
    ],
)
def test_a_credential_file_is_read_in_its_own_way(
    path: str, text: str, line: int, what: str
) -> None:
    assert reading(path, text) == [{"path": path, "line": line, "what": what}]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/pip.conf", "[global]\nindex-url = https://index.example.com/simple\n"),
        ("/root/.netrc", "machine a.example.com login ci\n"),
        ("/root/.databrickscfg", "[DEFAULT]\nhost = https://a.example.com\ntoken = ${TOKEN}\n"),
        ("/root/.docker/config.json", '{"credsStore": "ecr-login", "auths": {}}'),
        ("/root/.npmrc", "registry=https://index.example.com\n//a/:_authToken=${NPM_TOKEN}"),
        ("/root/.pgpass", "# hostname:port:database:username:password\n"),
        ("/root/.m2/settings.xml", "<password>${env.PASSWORD}</password>"),
        ("/root/.ssh/known_hosts", "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"),
        ("/root/.ssh/id_ed25519.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx me@example.com"),
        ("/opt/app/ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ("/root/.bashrc", "export PS1='$ '\nalias ls='ls --color'\n"),
        ("/opt/app/slides.key", b"PK\0\0password=" + PASSWORD.encode()),
    ],
)
def test_such_a_file_without_a_secret_is_no_finding(path: str, text: str | bytes) -> None:
    assert reading(path, text) == []


@pytest.mark.parametrize(
    "file",
    [
        a_file("/databricks/python3/lib/python3.11/site-packages/tornado/test/test.key"),
        a_file("/usr/lib/python3/dist-packages/twisted/test/server.pem"),
        a_file("/opt/conda/pkgs/tornado-6.1/lib/python3.11/tornado/test/test.key"),
        a_file("/usr/share/doc/openssl/demos/server.pem"),
        a_file("/etc/ssl/private/ssl-cert-snakeoil.key"),
        a_file("/etc/ssh/ssh_host_rsa_key"),
        a_file("/opt/app/main.py"),
        a_file("/opt/app/pip.config"),
        a_file("/app/.env.example"),
        a_file("/root/.netrc", size=0),
        a_file("/app/huge.pem", size=2_000_000),
        a_file("/root/.netrc")._replace(kind="symlink"),
        a_file("/root/.ssh/")._replace(kind="directory"),
    ],
)
def test_other_files_are_not_looked_into(file: File) -> None:
    assert not secret_files.SecretFiles().wants(file)


def test_what_a_cache_keeps_holds_no_secret() -> None:
    text = "\n".join([*SECRETS.values(), f"machine a login b password {PASSWORD}"])
    notes = json.dumps(reading("/root/.netrc", text))
    assert len(json.loads(notes)) > len(SECRETS)
    for secret in secrets.scan(text):
        assert secret.value not in notes


def test_two_secrets_of_a_line_are_two_leaks() -> None:
    text = '{"auths": {"a": {"auth": "Y2k6a3I0bg=="}, "b": {"auth": "Y2k6dzBsa2U="}}}'
    assert [note["what"] for note in reading("/root/.docker/config.json", text)] == [
        "password for a registry",
        "password for a registry (2)",
    ]


def test_the_readers_are_among_those_that_layers_are_read_with() -> None:
    assert {"secrets", "accounts"} <= {reader.name for reader in readers.READERS}


def test_accounts_are_noted_without_their_hashes() -> None:
    reader = accounts.AccountFiles()
    shadow = (
        "root:*:1::::::\nme:$6$salt$hash:1::::::\nguest::1::::::\nlibraries:!$6$a$b:1::::::\n\n"
    )
    notes = [*reader.read(a_file("/etc/shadow"), io.BytesIO(shadow.encode()))]
    assert [(note["user"], note["password"]) for note in notes] == [
        ("me", "set"),
        ("guest", "empty"),
    ]
    assert "salt" not in json.dumps(notes)


def test_passwords_may_stand_in_passwd_itself() -> None:
    reader = accounts.AccountFiles()
    assert reader.wants(a_file("/etc/passwd"))
    assert not reader.wants(a_file("/etc/passwd-"))
    passwd = "root:x:0:0::/root:/bin/sh\nguest::1:1::/:/bin/sh\nold:ab12cd:2:2::/:/bin/sh\n"
    notes = [*reader.read(a_file("/etc/passwd"), io.BytesIO(passwd.encode()))]
    assert [(note["user"], note["password"]) for note in notes] == [
        ("guest", "empty"),
        ("old", "set"),
    ]


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("COPY .netrc /root/.netrc # buildkit", "COPY … /root/.netrc"),
        ("/bin/sh -c #(nop) COPY file:1ab in /root/.netrc ", "COPY … /root/.netrc"),
        (f"ADD https://ci:{PASSWORD}@a.example.com/x /opt/x", "ADD … /opt/x"),
        (f"/bin/sh -c #(nop)  ENV TOKEN={PASSWORD}", "ENV TOKEN …"),
        (f"ARG NPM_TOKEN={PASSWORD}", "ARG NPM_TOKEN …"),
        ("ARG NPM_TOKEN", "ARG NPM_TOKEN …"),
        (
            f"/bin/sh -c echo {PASSWORD} > /root/.netrc && pip install {PASSWORD}",
            "RUN echo … > /root/.netrc … pip …",
        ),
        (f"RUN |1 A={PASSWORD} /bin/sh -c A=b make # buildkit", "RUN make …"),
        (
            f"RUN /bin/sh -c if test -f x; then run '{PASSWORD}' | tee y; fi",
            "RUN test … run … tee … fi …",
        ),
        (f"RUN /bin/sh -c it's {PASSWORD}", "RUN …"),
        (f'CMD ["serve" "--token={PASSWORD}"]', "CMD …"),
        ("", "RUN …"),
    ],
)
def test_a_step_is_shown_by_words_that_are_no_secrets(step: str, shown: str) -> None:
    assert history.outline(step) == shown


def test_a_layer_of_the_reader_is_plain_data() -> None:
    notes = tuple(reading("/root/.netrc", f"machine a login b password {PASSWORD}"))
    assert json.loads(json.dumps(vars(Layer("1", notes={"secrets": notes}))))
