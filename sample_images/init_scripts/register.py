#!/databricks/python3/bin/python
"""Notes which node this is."""

import os
from pathlib import Path

Path("/local_disk0/node").write_text(os.environ["DB_CLUSTER_ID"])
