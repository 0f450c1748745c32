"""Makes testinfra's fixture `host` the container.

Registered late and only with an image, so that it wins over testinfra's own: there `host` would be
the machine that runs pytest, and every check would pass or fail for that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


@pytest.fixture(scope="session")
def host(dcs_host: Host) -> Host:
    """Return the testinfra host over the container's shell."""
    return dcs_host
