"""Every fuzz target accepts its corpus without libFuzzer: each seed unchanged, truncated at many places, and with one bit changed at many places; and
the fuzzers' findings (corpus/NAME/found) unchanged."""

import re
import subprocess
from pathlib import Path

import pytest
from support.box import BUILD

HERE = Path(__file__).parent
TARGETS = sorted(f.stem.removeprefix("fuzz_") for f in HERE.glob("fuzz_*.c"))


@pytest.mark.parametrize("name", TARGETS)
def test_fuzz_corpus_replayed(box, name):
    corpus = HERE / "corpus" / name
    seeds = [f for f in corpus.iterdir() if f.is_file()]
    assert seeds, f"{corpus}: no seeds"
    done = subprocess.run([BUILD / "fuzz-replay" / f"replay_{name}", corpus], env=box.env, cwd=box.dir, capture_output=True, text=True,
                          errors="replace", timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    tried = re.fullmatch(r"(\d+) inputs\n", done.stdout)
    assert tried and int(tried[1]) > len(seeds), done.stdout
    print(f"{name}: {len(seeds)} seeds, {tried[1]} inputs")
