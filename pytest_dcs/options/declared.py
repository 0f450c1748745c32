"""Every option: its names, its default and its help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pytest_dcs import gpu_request

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
class Option:
    """One setting: `--dcs-NAME`, `DCS_NAME` and the ini key `dcs_NAME`."""

    name: str
    kind: Kind
    default: Any
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    on_command_line: bool = True
    only_on_command_line: bool = False
    """No file and no variable can set it: what it does must be meant each time."""

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
JOBS_MODE, INTERACTIVE_MODE = "jobs", "interactive"
"""The values of --dcs-remote-mode."""
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
        Option(
            "remote",
            "flag",
            False,
            "Launch the image on a real Databricks cluster as well, which costs money, and remove "
            "it afterwards; only for the command line",
            only_on_command_line=True,
        ),
        Option(
            "remote_mode",
            "text",
            JOBS_MODE,
            "How the checks run there: as a job run, whose cluster the workspace ends even if this "
            f"machine dies, or on an all-purpose cluster (default: {JOBS_MODE})",
            choices=(JOBS_MODE, INTERACTIVE_MODE),
        ),
        Option(
            "remote_cluster",
            "file",
            "",
            "Cluster to launch, in JSON or YAML: a specification, or a job or asset bundle that "
            "has one; #KEY behind it names one of several",
            "FILE[#KEY]",
        ),
        Option(
            "remote_node_type",
            "text",
            "",
            "Node type of the cluster, such as i3.xlarge or Standard_DS3_v2, where no file has one",
            "TYPE",
        ),
        Option(
            "remote_by_digest",
            "flag",
            False,
            "Let the cluster pull the image by its digest instead of by its tag",
        ),
        Option(
            "remote_record",
            "file",
            "",
            "Write all requests to the workspace and its answers to a file, without secrets, hosts "
            "and people",
            "FILE",
        ),
        Option(
            "remote_control",
            "flag",
            True,
            "Where a cluster dies of something that may not be the image, launch it once more "
            "without the image, to compare (default: true)",
            on_command_line=False,
        ),
        Option(
            "remote_timeout",
            "number",
            2400.0,
            "Seconds in which a cluster has to start and to finish the checks (default: 2400)",
            on_command_line=False,
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
