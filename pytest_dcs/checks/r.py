"""R: the session in which the cells of an R notebook run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.rules import rule

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke

R_DOCKERFILE = "https://github.com/databricks/containers/blob/master/ubuntu/R/Dockerfile"
WORKER_SCRIPT = "https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh"


@rule(
    "R001",
    "r-starts",
    level="fail",
    effect="disables-feature",
    feature="r",
    where="container",
    requires=("SYS002",),
    step="r-session",
    sources=(
        R_DOCKERFILE,
        "https://github.com/databricks/containers/blob/master/ubuntu/gpu/cuda-11.8/base/Dockerfile",
    ),
)
def test_r_starts(dcs_r_smoke: Smoke) -> None:
    """An R notebook is a process `R --slave --no-restore -f FILE --args 1100 None`, which a script
    of the platform starts: "R: command not found". Variables of a login shell are not set then, and
    what is written into Rprofile.site runs before the platform's own file.

    Fix: `RUN apt-get update && apt-get install -y r-base-core`; an R of /opt needs `RUN ln -s
    /opt/R/4.4.0/bin/R /usr/local/bin/R`.
    """
    require_stage(dcs_r_smoke, "r-session", "an R that runs a file with arguments")


@rule(
    "R002",
    "r-notebook-packages",
    level="fail",
    effect="disables-feature",
    feature="r",
    where="container",
    requires=("R001",),
    step="r-session",
    sources=(
        R_DOCKERFILE,
        "https://github.com/databricks/containers/issues/39",
        "https://github.com/databricks/containers/issues/17",
    ),
)
def test_r_notebook_packages(dcs_r_smoke: Smoke) -> None:
    """Notebooks show the results of R with htmltools: "Error in loadNamespace(name) : there is no
    package called 'htmltools'". Where the image has hwriter, hwriterPlus or TeachingDemos, which
    official images have beside it, they must load too; it is not known which runtimes need them.
    Packages from an older R do not load: "package 'htmltools' was built before R 4.0.0".

    Fix: `RUN R -e "install.packages(c('hwriter', 'TeachingDemos', 'htmltools'))"`, into R's own
    library: on a cluster R_LIBS is the platform's.
    """
    require_stage(dcs_r_smoke, "r-packages", "htmltools, which loads, as do hwriter and its like")


@rule(
    "R003",
    "rserve-answers",
    level="fail",
    effect="disables-feature",
    feature="r",
    where="container",
    requires=("R001",),
    step="stock-rserve",
    sources=(
        R_DOCKERFILE,
        "https://www.rforge.net/Rserve/doc.html",
        "https://github.com/s-u/Rserve/pull/202",
    ),
)
def test_rserve_answers(dcs_r_smoke: Smoke) -> None:
    """The driver sends cells to R through Rserve, which "allows Spark to communicate with a local R
    process to run R code". It must load, open its port on loopback, evaluate without a login, and
    go on when a driver has left; settings and hooks for a service of one's own, in /etc/Rserve.conf
    and Rprofile.site, hold for it too. Some versions of Rserve end with their first driver where
    they were built for R 4.5 or later: "first argument to 'R_getVarEx' must be a symbol".

    Fix: `RUN R -e "install.packages('Rserve', repos='http://rforge.net/')"`, and for another
    service of Rserve a file of another name than /etc/Rserve.conf.
    """
    require_stage(
        dcs_r_smoke, "rserve", "an Rserve that evaluates cells of one driver, then another"
    )


@rule(
    "R004",
    "r-installs-packages",
    level="fail",
    effect="disables-feature",
    feature="r",
    where="container",
    requires=("R001",),
    step="r-session",
    sources=(
        WORKER_SCRIPT,
        "https://learn.microsoft.com/en-us/azure/databricks/libraries/notebooks-r-libraries",
    ),
)
def test_r_installs_packages(dcs_r_smoke: Smoke) -> None:
    """When a worker starts, `R CMD INSTALL --library=… --no-docs --no-html` installs SparkR, and
    libraries of R come to clusters and notebooks in the same way. An R that runs may lack what this
    needs: its files under /usr/share/R, the package tools, or sed.

    Fix: keep R's own files where a layer removes what looks like documentation, or install it anew:
    `RUN apt-get update && apt-get install -y --reinstall r-base-core`.
    """
    require_stage(dcs_r_smoke, "r-install", "a package without compiled code that R installs")
