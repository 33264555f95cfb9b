"""All tests here need hosts. The fixtures ask the programs for their data paths and security modes, so a test uses the strongest ones available."""

import pytest

from support import hosts as support_hosts
from support.apart import WAYS, cannot


@pytest.fixture(autouse=True)
def can_make_hosts():
    if reason := support_hosts.missing():
        pytest.skip(reason)


@pytest.fixture(params=WAYS, ids="-".join)
def way(request):
    """Each combination of data path and security in turn."""
    if reason := cannot(*request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture(params=[w for w in WAYS if w[1] == "insecure"], ids="-".join)
def plain(request):
    """Without encryption: eight hosts share two cores, so encryption would limit the rate instead of the wires."""
    if reason := cannot(*request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def strongest():
    """The last combination that this build supports."""
    return next(w for w in reversed(WAYS) if not cannot(*w))
