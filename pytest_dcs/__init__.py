"""Find out before release whether a Docker image works on Databricks Container Services."""

__version__ = "0.1.0"
