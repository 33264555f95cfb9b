"""The rules of the source tree hold, and each rule detects a violation."""

import subprocess

import pytest

from . import house


@pytest.mark.parametrize("rule", sorted(house.RULES))
def test_the_tree_keeps(rule):
    found = house.violations(rule)
    assert not found, "\n".join(found)


RIDDLE = "/* Whoever says what nobody has heard is told anew who it is. */\n"
PLAIN = "/* The uploader sends the result again. */\n"
FAULTS = {  # rule: (files of a small tree, a part of the expected message)
    "layers": ({"common/pure/a.c": '#include "system/log.h"\n', "common/system/log.h": ""}, "not in a layer below"),
    "stairs": ({"uploader/s3/op.h": '#include "uploader/s3/request.h"\n', "uploader/s3/request.h": ""}, "above it on the staircase"),
    "circles": ({"consumer/jobs/a.h": '#include "consumer/jobs/b.h"\n', "consumer/jobs/b.h": '#include "consumer/jobs/a.h"\n'}, "in a circle"),
    "names": ({"uploader/a.c": "static int find(void) {\n    return 0;\n}\n", "uploader/b.c": "static int find(void) {\n    return 1;\n}\n"}, "find() is defined in"),
    "long": ({"uploader/a.c": "int f(void) {\n" + "    g();\n" * 61 + "}\n"}, "has 63 lines"),
    "crowded": ({f"consumer/m{i:02}.c": "" for i in range(20)}, "21 modules"),
    "modules": ({"tests/bench/test_a.py": "", "tests/hosts/test_a.py": ""}, "has the name of tests/bench/test_a.py"),
    "prose": ({"producer/a.c": RIDDLE * 30}, "words of the list"),
    "sentences": ({"README.md": " ".join(["word"] * 40) + ".\n"}, "40.0 words a sentence"),
    "dead": ({"uploader/a.h": "int a_unused(void);\n", "uploader/a.c": "int a_unused(void) {\n    return 0;\n}\n"}, "no other file calls it"),
}
SOUND = {
    "common/pure/text.h": PLAIN, "common/system/log.c": '#include "pure/text.h"\n',
    "consumer/main.c": "int main(void) {\n    return 0;\n}\n", "uploader/main.c": "int main(void) {\n    return 0;\n}\n",
    "README.md": "The program uploads files.\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """tree(files) makes a repository of these files the one under check."""

    def plant(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
        monkeypatch.setattr(house, "TOP", tmp_path)

    return plant


@pytest.mark.parametrize("rule", sorted(house.RULES))
def test_a_fault_is_seen(rule, tree):
    files, complaint = FAULTS[rule]
    tree({**SOUND, **files})
    found = house.violations(rule)
    assert len(found) == 1 and complaint in found[0], found


def test_a_sound_tree_passes(tree):
    tree(SOUND)
    assert [line for rule in house.RULES for line in house.violations(rule)] == []
