"""The recipes for runs of every night: the line for cron, and the systemd timer with its service. Their commands run as they are written."""

import json
import os
import re
import shutil
import subprocess

import pytest

from support.box import BUILD, ROOT, random_file

CRON = ROOT / "docs" / "recipes" / "chunklift-nightly.cron"
ENV = ROOT / "docs" / "recipes" / "nightly.env"


@pytest.fixture
def installed(box):
    prefix = box.dir / "usr"
    subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(prefix)], check=True, capture_output=True, timeout=60)
    return prefix


@pytest.fixture
def site(box):
    """The variables of a recipe, for a tree of this box."""
    for i in range(3):
        random_file(box.dir / "my media" / f"f{i}", 1000, seed=i)
    return {"SOURCE": str(box.dir / "my media"), "DEST": f"file://{box.dir}/out/", "JOURNAL": str(box.journal), "REPORT": str(box.dir / "report.json")}


def cron_command(text):
    """The variables and the command of a file for /etc/cron.d."""
    variables = dict(re.findall(r"^([A-Z]+)=(.*)$", text, re.M))
    [(minute, command)] = re.findall(r"^(\d+) \d+ \* \* \*  \w+  (.*)$", text, re.M)
    assert "%" not in command  # a newline in a crontab
    return variables, command


def run_cron(box, command, variables):
    """As cron does: sh -c, and nothing in the environment but the variables of the file, HOME and LOGNAME."""
    env = {**variables, "HOME": box.env["HOME"], "LOGNAME": "media", "PATH": f"{BUILD}:/usr/bin:/bin", "CHUNKLIFT_BOX": box.mark}
    return subprocess.run([variables["SHELL"], "-c", command], env=env, cwd="/", capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def test_the_line_for_cron(box, site):
    variables, command = cron_command(CRON.read_text())
    variables.update(site)
    done = run_cron(box, command, variables)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert lines[-1].startswith(f"file://{box.dir}/out/: 3 files uploaded (2.93 KiB), 0 unchanged, 0 failed in ") and "ETA" not in done.stderr
    assert json.loads((box.dir / "report.json").read_text())["result"] == "done"
    assert "0 files uploaded (0 B), 3 unchanged" in run_cron(box, command, variables).stderr.splitlines()[-1]


def test_a_line_of_cron_that_fails(box, site):
    """The mail has the failed files, and exit status and report say it."""
    variables, command = cron_command(CRON.read_text())
    (box.dir / "out" / "f1").mkdir(parents=True)
    done = run_cron(box, command, {**variables, **site})
    assert done.returncode == 1 and "1 file failed:" in done.stderr and ": 2 files uploaded" in done.stderr.splitlines()[-1]
    assert json.loads((box.dir / "report.json").read_text())["files_failed"] == 1


def test_units_are_valid(box, installed):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    units = [str(installed / "lib/systemd/system" / f"chunklift-nightly@.{kind}") for kind in ("service", "timer")]
    said = subprocess.run(["systemd-analyze", "verify", *units], env={**box.env, "MANPATH": str(installed / "share/man")}, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0 and said.stderr == "", said.stderr
    exposure = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", units[0]], env=box.env, capture_output=True, text=True, timeout=60)
    assert exposure.returncode == 0, exposure.stdout  # at most 2.0 of 10
    [calendar] = re.findall(r"^OnCalendar=(.*)$", (installed / "lib/systemd/system/chunklift-nightly@.timer").read_text(), re.M)
    assert subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, timeout=60).returncode == 0


def test_the_command_of_the_service(box, site, installed):
    """systemd replaces %S and %i, and makes one word of each ${VARIABLE} of the EnvironmentFile."""
    text = (installed / "lib/systemd/system/chunklift-nightly@.service").read_text()
    [command] = re.findall(r"^ExecStart=(.*)$", text, re.M)
    variables = {**dict(re.findall(r"^([A-Z_]+)=(.*)$", ENV.read_text(), re.M)), **site}
    state = box.dir / "state" / "chunklift-nightly" / "media"
    state.mkdir(parents=True, mode=0o700)
    words = [re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], word.replace("%S", str(box.dir / "state")).replace("%i", "media")) for word in command.split()]
    assert words[0] == f"{installed}/bin/chunklift" and os.access(words[0], os.X_OK)
    done = subprocess.run(words, env={"XDG_RUNTIME_DIR": str(box.dir / "run"), "PATH": "/usr/bin:/bin", "CHUNKLIFT_BOX": box.mark, **variables}, cwd="/",
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and ": 3 files uploaded (2.93 KiB)" in done.stderr.splitlines()[-1], done.stderr
    assert json.loads((state / "report.json").read_text())["status"] == 0
