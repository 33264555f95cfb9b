import os
import random

import pytest

from strangers.site import Site


@pytest.fixture(params=[pytest.param("ipc", marks=pytest.mark.strangers), "tcp"])
def transport(request):
    return request.param


@pytest.fixture
def site(box, transport):
    return Site(box, transport)


@pytest.fixture
def rng():
    seed = int(os.environ.get("CHUNKLIFT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}: CHUNKLIFT_SEED={seed} repeats it")
    return random.Random(seed)
