"""What the user asked for: command line > environment > pytest configuration > default."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pytest_dcs import errors, gpu_request

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

Value = TypeVar("Value")
Kind = Literal[
    "list",
    "rules",
    "scripts",
    "settings",
    "text",
    "flag",
    "number",
    "paths",
    "file",
    "baseline",
    "gpus",
    "driver",
    "gpu_types",
]


@dataclass(frozen=True)
class Sourced(Generic[Value]):
    """A value and where it came from."""

    value: Value
    source: str

    def __str__(self) -> str:
        value = ", ".join(self.value) if isinstance(self.value, tuple) else self.value
        return f"{value} ({self.source})"


@dataclass(frozen=True)
class Option:
    """One setting: `--dcs-NAME`, `DCS_NAME` and the ini key `dcs_NAME`."""

    name: str
    kind: Kind
    default: Any
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    on_command_line: bool = True

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--dcs-{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        """The key in the pytest configuration, also the option's name in `config.option`."""
        return f"dcs_{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"DCS_{self.name.upper()}"


NO_ENGINE = "none"
"""The value of --dcs-engine with which nothing is started."""
LOCAL_ENGINE = "local"
"""The value of --dcs-engine with which this machine is taken for the image."""
LOCAL_IMAGE = "localhost"
"""What the image of this machine is called where nobody names it."""

FAIL_ON_FAILURE = "failure"
"""The value of --dcs-fail-on with which a baseline decides nothing."""

LAST = "last"
"""The value of --dcs-baseline that leaves the choice to the history."""

STDOUT = "-"
"""The name of a file that is the standard output."""

OPTIONS = {
    option.name: option
    for option in (
        Option(
            "image",
            "list",
            (),
            "Image to test, also oci:DIR, oci-archive:FILE or docker-archive:FILE; or a matrix "
            "file such as dcs-images.toml (multi-allowed)",
            "IMAGE",
        ),
        Option(
            "runtime",
            "list",
            (),
            "Databricks Runtime that the image is for, such as 15.4 (multi-allowed)",
            "VERSION",
        ),
        Option(
            "profile",
            "text",
            "python",
            "What the image offers: minimal, python, dbfsfuse, standard, rbase, gpu; "
            "`python,gpu` unites (default: python)",
            "NAME",
        ),
        Option("select", "rules", (), "Run only these rules, by id or prefix", "RULE"),
        Option("ignore", "rules", (), "Leave these rules out, by id or prefix", "RULE"),
        Option(
            "deep",
            "flag",
            False,
            "Also run the deep Spark job: what breaks only in workers or in data",
        ),
        Option(
            "init_script",
            "scripts",
            (),
            "Init script to run: a file, `file:PATH` for one in the image, `global:` before either "
            "for a global one (multi-allowed)",
            "SCRIPT",
        ),
        Option(
            "open_network",
            "flag",
            False,
            "Let the containers reach the network, for init scripts that download something",
        ),
        Option(
            "without",
            "list",
            (),
            "Leave out a step or an assumption of the launch, see --dcs-explain launch",
            "NAME",
        ),
        Option(
            "smoke",
            "paths",
            (),
            "File of PySpark code to run in the container as a check of its own (multi-allowed)",
            "FILE",
        ),
        Option(
            "jar",
            "paths",
            (),
            "Jar for Spark's class path, as a library of the cluster would be (multi-allowed)",
            "FILE",
        ),
        Option(
            "spark_conf",
            "settings",
            (),
            "Setting of Spark for --dcs-smoke and dcs_spark, such as spark.sql.extensions "
            "(multi-allowed)",
            "KEY=VALUE",
        ),
        Option(
            "spark_mode",
            "text",
            "local",
            "Where Spark's tasks run: in the driver, or on two more containers (default: local)",
            choices=("local", "cluster"),
        ),
        Option(
            "engine",
            "text",
            "docker",
            "Where the image is started; local: this machine is inside the image already; none: "
            "only the rules that need no container (default: docker)",
            choices=("docker", LOCAL_ENGINE, NO_ENGINE),
        ),
        Option(
            "image_config",
            "paths",
            (),
            "With --dcs-engine=local: what `docker image inspect` or `skopeo inspect --config "
            "--raw` printed of the image",
            "FILE",
        ),
        Option(
            "gpus",
            "gpus",
            gpu_request.NONE,
            "GPUs that the container gets, as `docker run --gpus` takes them: all, a number, or "
            "device=0,1 (default: none)",
            "GPUS",
        ),
        Option(
            "gpu_driver",
            "driver",
            "",
            "NVIDIA driver of the nodes, such as 550.54.15, to compare the image's CUDA with",
            "VERSION",
        ),
        Option(
            "gpu_type",
            "gpu_types",
            (),
            "GPU of the nodes, such as T4 or A10, that PyTorch must have code for (multi-allowed)",
            "TYPE",
        ),
        Option("strict", "flag", False, "Advice, a guessed runtime or a stale waiver is a failure"),
        Option(
            "timeout",
            "number",
            60.0,
            "Time limit of one command in the container (default: 60)",
            "SECONDS",
        ),
        Option("keep", "flag", False, "Leave the container running and say how to enter it"),
        Option(
            "merge",
            "paths",
            (),
            "Document of another run on the same image, such as one inside it, to judge together "
            "with this one (multi-allowed)",
            "FILE",
        ),
        Option(
            "pull",
            "text",
            "missing",
            "When to pull the image (default: missing)",
            choices=("missing", "always", "never"),
        ),
        Option(
            "json",
            "file",
            "",
            "Write all that the run has found to a JSON file; -: to the standard output",
            "FILE",
        ),
        Option(
            "history",
            "file",
            "",
            "Add the run to a file of runs, an SQLite database, which is made where there is none",
            "FILE",
        ),
        Option(
            "baseline",
            "baseline",
            "",
            "Say what changed since the last releasable run in the history (`last`), that of "
            "another image, or a file that --dcs-json has written",
            "last|FILE|IMAGE",
        ),
        Option(
            "fail_on",
            "text",
            FAIL_ON_FAILURE,
            "What makes the run red: whatever fails, only what is worse than in the baseline, or "
            f"also any other change (default: {FAIL_ON_FAILURE})",
            choices=(FAIL_ON_FAILURE, "regression", "any"),
        ),
        Option("tests", "paths", (), "Own tests to run beside the rules", on_command_line=False),
        Option(
            "waivers",
            "paths",
            ("dcs-waivers.toml",),
            "File of waivers (default: dcs-waivers.toml)",
            on_command_line=False,
        ),
        Option(
            "runtimes",
            "paths",
            ("dcs-runtimes.toml",),
            "File of own runtimes (default: dcs-runtimes.toml)",
            on_command_line=False,
        ),
        Option(
            "spark_tuning",
            "flag",
            True,
            "Start Spark's JVM with what makes it quick (default: true)",
            on_command_line=False,
        ),
        Option(
            "cache",
            "paths",
            (),
            "Folder of downloaded Sparks (default: the user's cache)",
            on_command_line=False,
        ),
    )
}

WRITE_WAIVERS = "--dcs-write-waivers"
"""Only for the command line: where it stood for every run, nothing would fail any more."""

INI_TYPES: dict[Kind, Literal["args", "linelist", "string", "bool", "paths"]] = {
    "list": "args",
    "rules": "args",
    "scripts": "args",
    "settings": "linelist",
    "text": "string",
    "flag": "bool",
    "number": "string",
    "paths": "paths",
    "file": "string",
    "baseline": "string",
    "gpus": "string",
    "driver": "string",
    "gpu_types": "args",
}
ACTIONS: dict[Kind, dict[str, Any]] = {
    "list": {"action": "append"},
    "paths": {"action": "append"},
    "rules": {"action": "append"},
    "scripts": {"action": "append"},
    "settings": {"action": "append"},
    "gpu_types": {"action": "append"},
    "flag": {"action": "store_true"},
}
GLOBAL_SCRIPT = "global:"
DRIVER_VERSION = re.compile(r"\d{3}(\.\d+){0,2}")
SCRIPT_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How the name of an init script begins that is no file of this machine."""
TRUTH = {"1": True, "true": True, "yes": True, "on": True}
TRUTH |= {"": False, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Settings:
    """All that a run was asked to do."""

    image: Sourced[tuple[str, ...]]
    runtime: Sourced[tuple[str, ...]]
    profile: Sourced[str]
    select: Sourced[tuple[str, ...]]
    ignore: Sourced[tuple[str, ...]]
    deep: Sourced[bool]
    init_script: Sourced[tuple[str, ...]]
    open_network: Sourced[bool]
    without: Sourced[tuple[str, ...]]
    smoke: Sourced[tuple[str, ...]]
    jar: Sourced[tuple[str, ...]]
    spark_conf: Sourced[tuple[str, ...]]
    spark_mode: Sourced[Literal["local", "cluster"]]
    engine: Sourced[Literal["docker", "local", "none"]]
    image_config: Sourced[tuple[str, ...]]
    gpus: Sourced[str]
    """In the words of `gpu_request`."""
    gpu_driver: Sourced[str]
    """Empty where it is not known."""
    gpu_type: Sourced[tuple[str, ...]]
    strict: Sourced[bool]
    timeout: Sourced[float]
    """Seconds for one command in the container."""
    keep: Sourced[bool]
    merge: Sourced[tuple[str, ...]]
    pull: Sourced[Literal["missing", "always", "never"]]
    json: Sourced[str]
    """An absolute path, `-` or empty."""
    history: Sourced[str]
    """An absolute path or empty."""
    baseline: Sourced[str]
    """`last`, an absolute path, an image or empty."""
    fail_on: Sourced[Literal["failure", "regression", "any"]]
    tests: Sourced[tuple[str, ...]]
    waivers: Sourced[tuple[str, ...]]
    runtimes: Sourced[tuple[str, ...]]
    spark_tuning: Sourced[bool]
    cache: Sourced[tuple[str, ...]]

    @property
    def active(self) -> bool:
        """Whether there is an image to test."""
        return bool(self.image.value) or self.is_local

    @property
    def is_local(self) -> bool:
        """Whether this machine is taken for the image."""
        return self.engine.value == LOCAL_ENGINE

    @property
    def image_config_file(self) -> Path | None:
        """The file that describes the image, if there is one."""
        return Path(self.image_config.value[0]) if self.image_config.value else None

    @property
    def is_kept(self) -> bool:
        """Whether what the run reads is for more than its verdict."""
        return any(each.value for each in (self.json, self.history, self.baseline))

    @property
    def is_compared(self) -> bool:
        """Whether the run is kept or held against earlier ones."""
        return self.is_kept or self.fail_on.value != FAIL_ON_FAILURE

    @property
    def waivers_file(self) -> Path:
        """The file of waivers, which need not exist."""
        return Path(self.waivers.value[0])

    @property
    def runtimes_file(self) -> Path | None:
        """The file of the user's own runtimes, if there is one."""
        path = Path(self.runtimes.value[0])
        return path if path.exists() or self.runtimes.source != "default" else None

    @property
    def cache_directory(self) -> Path:
        """Where downloads are kept between runs."""
        return Path(self.cache.value[0]) if self.cache.value else default_cache_directory()


def default_cache_directory() -> Path:
    """Return where downloads are kept where nobody says otherwise."""
    import platformdirs

    return platformdirs.user_cache_path("pytest-dcs")


def add_options(parser: pytest.Parser) -> None:
    """Add all options and ini keys to pytest's own."""
    group = parser.getgroup("dcs", "Databricks Container Services")
    for option in OPTIONS.values():
        if option.on_command_line:
            arguments: dict[str, Any] = {"action": "store", "default": None, "help": option.help}
            arguments |= ACTIONS.get(option.kind, {})
            if option.metavar:
                arguments["metavar"] = option.metavar
            if option.choices:
                arguments["choices"] = option.choices
            group.addoption(option.flag, dest=option.ini, **arguments)
        # None tells a key that is not there from one that is empty.
        parser.addini(option.ini, option.help, type=INI_TYPES[option.kind], default=None)
    group.addoption("--dcs-list", action="store_true", help="List all rules and exit")
    group.addoption(
        "--dcs-explain",
        metavar="TEXT",
        help="Explain a rule, the launch, a termination code or the text of an error, and exit",
    )
    group.addoption(
        WRITE_WAIVERS,
        action="store_true",
        help="Write a waiver of 30 days for whatever fails: adopt the gate for an image as it is",
    )


def read_settings(config: pytest.Config) -> Settings:
    """Return the settings of this run; raises `InvalidValue`."""
    return Settings(**{name: resolve(option, config) for name, option in OPTIONS.items()})


def resolve(option: Option, config: pytest.Config) -> Sourced[Any]:
    """Return the value of the strongest source that gives one."""
    read: dict[Kind, Callable[[Any, str], Any]] = {
        "list": lambda value, _: as_list(value),
        "rules": lambda value, _: tuple(word.upper() for word in as_list(value)),
        "scripts": lambda value, source: as_scripts(value, source, config),
        "text": lambda value, _: str(value),
        "flag": as_flag,
        "number": as_seconds,
        "settings": as_settings,
        "gpus": as_gpus,
        "driver": as_driver,
        "gpu_types": as_gpu_types,
        "paths": lambda value, source: as_paths(value, source, config),
        "file": lambda value, source: as_file(value, source, config),
        "baseline": lambda value, source: as_baseline(value, source, config),
    }
    sources = (
        (config.getoption(option.ini, None), f"option {option.flag}"),
        (os.environ.get(option.variable), f"environment {option.variable}"),
        (config.getini(option.ini), f"ini {option.ini}"),
        (option.default, "default"),
    )
    value, source = next(found for found in sources if found[0] is not None)
    result = read[option.kind](value, source)
    if option.choices and result not in option.choices:
        raise errors.InvalidValue(source, str(value), f"one of {', '.join(option.choices)}")
    return Sourced(result, source)


def as_list(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of one or several texts, separated by commas or blanks."""
    texts = [value] if isinstance(value, str) else value
    return tuple(word for text in texts for word in re.split(r"[,\s]+", text) if word)


def as_flag(value: str | bool, source: str) -> bool:
    """Return the truth of a flag; raises `InvalidValue`."""
    try:
        return TRUTH[str(value).lower()]
    except KeyError:
        raise errors.InvalidValue(source, str(value), "true or false") from None


def as_seconds(value: str | float, source: str) -> float:
    """Return a positive number of seconds; raises `InvalidValue`."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise errors.InvalidValue(source, str(value), "a number of seconds above 0")
    return seconds


def as_gpus(value: str, source: str) -> str:
    """Return the words for some GPUs; raises `InvalidValue`."""
    gpu_request.parse(value, source)
    return value.strip() or gpu_request.NONE


def as_driver(value: str, source: str) -> str:
    """Return the version of a driver; raises `InvalidValue`."""
    version = value.strip()
    if version and not DRIVER_VERSION.fullmatch(version):
        needed = "a version of NVIDIA's driver, as `nvidia-smi` shows it: 550.54.15"
        raise errors.InvalidValue(source, value, needed)
    return version


def as_gpu_types(value: str | list[str] | tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the names of types of GPUs; raises `InvalidValue` for one that is not known."""
    names = tuple(name.upper() for name in as_list(value))
    if names:
        from pytest_dcs import gpu

        known = gpu.capabilities()
        for name in names:
            if name not in known:
                raise errors.InvalidValue(source, name, f"one of {', '.join(known)}")
    return names


def as_settings(value: str | list[str] | tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return texts of the form KEY=VALUE, of which an environment variable has one a line.

    Raises `InvalidValue` for one that has another form.
    """
    texts = value.splitlines() if isinstance(value, str) else value
    for text in texts:
        if not re.match(r"\S+=", text):
            raise errors.InvalidValue(source, text, "KEY=VALUE, as in spark.executor.cores=1")
    return tuple(texts)


def as_paths(
    value: str | list[Path] | tuple[str, ...], source: str, config: pytest.Config
) -> tuple[str, ...]:
    """Return absolute paths."""
    texts = value.split(os.pathsep) if isinstance(value, str) else value
    return tuple(str(base_of(source, config) / text) for text in texts if str(text))


def as_file(value: str, source: str, config: pytest.Config) -> str:
    """Return an absolute path; what names no file stays as it is."""
    return value if value in {"", STDOUT} else str(base_of(source, config) / value)


def as_baseline(value: str, source: str, config: pytest.Config) -> str:
    """Return `last`, the name of an image, or the absolute path of what can only be a file."""
    path = base_of(source, config) / value
    is_file = bool(value) and value != LAST and (value.endswith(".json") or path.is_file())
    return str(path) if is_file else value


def base_of(source: str, config: pytest.Config) -> Path:
    """Return the folder that relative paths start from: where pytest was called, or its root."""
    is_typed = source.startswith(("option ", "environment "))
    return config.invocation_params.dir if is_typed else config.rootpath


def as_scripts(
    value: str | list[str] | tuple[str, ...], source: str, config: pytest.Config
) -> tuple[str, ...]:
    """Return the names of init scripts with absolute paths, wherever tests change to."""
    texts = as_list(value) if isinstance(value, str) else value
    return tuple(anchored_script(text, base_of(source, config)) for text in texts)


def anchored_script(text: str, folder: Path) -> str:
    """Return the name of an init script with an absolute path, if it is a file of this machine."""
    name = text.removeprefix(GLOBAL_SCRIPT)
    if SCRIPT_SCHEME.match(name):
        return text
    return f"{text[: len(text) - len(name)]}{folder / name}"
