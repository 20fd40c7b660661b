"""What the tests of metrics and probes borrow: nodes of a cluster, an executor's surroundings."""

from tests.integration.executor.conftest import bench, forks, impatient, known  # noqa: F401  (fixtures, here and below)
from tests.integration.nodes.conftest import cluster  # noqa: F401
