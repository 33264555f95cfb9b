"""Every test here wants hosts; and how chunklift moves bytes between them is asked of the programs, so that a test takes the most they can."""

import pytest

from support import hosts as support_hosts
from support.apart import WAYS, cannot


@pytest.fixture(autouse=True)
def can_make_hosts():
    if reason := support_hosts.missing():
        pytest.skip(reason)


@pytest.fixture(params=WAYS, ids="-".join)
def way(request):
    """Each way in turn."""
    if reason := cannot(*request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture(params=[w for w in WAYS if w[1] == "insecure"], ids="-".join)
def plain(request):
    """Without keys: eight hosts on two cores have no processor time left for so much encryption, which is no host's wire."""
    if reason := cannot(*request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def strongest():
    """The last way that this build can."""
    return next(w for w in reversed(WAYS) if not cannot(*w))
