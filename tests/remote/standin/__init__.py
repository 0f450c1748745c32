"""A workspace of our own: the part of Databricks' HTTP interface that the plugin uses.

It agrees with the client, Databricks' own SDK, whose classes it checks requests by and makes
answers of. What a real workspace answers it knows only from what is published.
"""

from tests.remote.standin.workspace import Workspace, checked

__all__ = ["Workspace", "checked"]
