"""Consumer and uploader as standing services: the systemd units, their option files, their logs, and their reconnection after any restart."""

import json
import os
import re
import signal
import subprocess

import pytest
from support.box import BUILD, ROOT, random_file, sha256_of, wait_for

MIB = 1 << 20
UNITS = {"consumer": "chunklift-consumer.service", "uploader": "chunklift-uploader@.service"}


@pytest.fixture
def installed(box):
    """The files of `cmake --install` in a directory of the box; units start these programs."""
    prefix = box.dir / "usr"
    subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(prefix)], check=True, capture_output=True, timeout=60)
    for name in UNITS.values():
        assert f"ExecStart={prefix}/bin/chunklift-" in (prefix / "lib/systemd/system" / name).read_text()
    return prefix


def test_units_are_valid_and_confined(box, installed):
    for name in UNITS.values():
        unit = installed / "lib/systemd/system" / name
        env = {**box.env, "MANPATH": str(installed / "share/man")}
        said = subprocess.run(["systemd-analyze", "verify", str(unit)], env=env, capture_output=True, text=True, timeout=60)
        assert said.returncode == 0 and said.stderr == "", said.stderr
        exposure = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)], env=env, capture_output=True, text=True,
                                  timeout=60)
        assert exposure.returncode == 0, exposure.stdout  # at most 2.0 of 10


def start_unit(box, installed, kind, instance, etc):
    """Runs the unit's command line, with /etc/chunklift at another path."""
    text = (installed / "lib/systemd/system" / UNITS[kind]).read_text()
    command = re.search(r"^ExecStart=(.*)$", text, re.M)[1].replace("/etc/chunklift", str(etc)).replace("%i", instance).split()
    log = open(box.dir / f"{kind}-{len(box.outputs)}.log", "w+b")
    child = subprocess.Popen(command, env=box.env, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=box.dir)
    box.outputs.append((command, None, box.dir / log.name, ""))
    return child, box.dir / log.name


def uncommented(path, **values):
    """An example file with its commented options enabled, and other values for some (None: option removed)."""
    lines = []
    for line in path.read_text().splitlines():
        found = re.match(r"#?([a-z-]+) = (.*)$", line)
        if found and found[1] not in values:
            lines.append(f"{found[1]} = {found[2]}")
        elif not found:
            lines.append(line)
    return "\n".join(lines + [f"{name} = {value}" for name, value in values.items() if value is not None]) + "\n"


def test_services_come_together_after_any_restart(box, installed):
    """One upload continues while every unit command, with the example files and a local socket, is killed and restarted."""
    etc, examples, out = box.dir / "etc", installed / "share/doc/chunklift/examples", box.dir / "out"
    etc.mkdir()
    endpoint = f"ipc://{box.dir}/run/consumer"
    none = {"key": None, "trust": None}
    (etc / "consumer.conf").write_text(uncommented(examples / "consumer.conf", bind=endpoint, lease="2s", journal=box.journal, **none))
    (etc / "media.conf").write_text(uncommented(examples / "uploader.conf", consumer=endpoint, jobs=None, allow=f"file://{out}/", root=box.dir / "src",
                                                **none))
    source = random_file(box.dir / "src/f", 600 * MIB)
    consumer, consumer_log = start_unit(box, installed, "consumer", "", etc)
    uploader, uploader_log = start_unit(box, installed, "uploader", "media", etc)
    producer = box.start("producer", "--consumer", endpoint, "--chunk-size", "1MiB", "--no-progress", source, out / "f")

    def recorded():
        return len(box.records("chunk")) if (box.journal / "journal.jsonl").exists() else 0

    for kill in ("consumer", "uploader"):
        before = recorded()
        wait_for(lambda: recorded() > before + 20, what="chunks are recorded")
        victim = consumer if kill == "consumer" else uploader
        victim.kill()
        victim.wait()
        if kill == "consumer":
            consumer, consumer_log = start_unit(box, installed, "consumer", "", etc)
        else:
            uploader, uploader_log = start_unit(box, installed, "uploader", "media", etc)
    assert producer.wait(60) == 0, producer.log.read_text()
    assert sha256_of(out / "f") == sha256_of(source)
    assert len(box.records("chunk")) == 600
    for child, log in ((uploader, uploader_log), (consumer, consumer_log)):
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0, log.read_text()
    events = [json.loads(line) for line in consumer_log.read_text().splitlines() if line.startswith("{")]
    assert {"listening", "joined", "ended"} <= {e["event"] for e in events} and all("ts" in e for e in events)


def test_what_goes_wrong_is_an_event_too(box):
    conf = box.dir / "x.conf"
    conf.write_text(f"journal = {box.dir}/j\nbind = ipc://{box.dir}/run/c\n\nslots = 3\n")
    done = box.run("consumer", "--json", "--config", conf, status=2)
    assert done.stderr == f"chunklift: {conf}:4: slots: unknown option\n"
    os.mkdir(box.dir / "j")
    (box.dir / "j/journal.jsonl").write_text("nonsense\n")
    conf.write_text(f"journal = {box.dir}/j\nbind = ipc://{box.dir}/run/c\njson\n")
    done = box.run("consumer", "--config", conf, status=3)
    event = json.loads(done.stdout)
    assert event["event"] == "log" and event["level"] == "error"
    assert done.stderr == f"chunklift: {event['text']}\n" and "journal.jsonl" in event["text"]


def test_example_files_name_real_options(box):
    """Every option of the example files is an option of its program."""
    for kind in UNITS:
        known = set(re.findall(r"--([a-z-]+)", box.run(kind, "--help").stdout))
        named = re.findall(r"^#?([a-z-]+)(?: = .*)?$", (ROOT / kind / f"{kind}.conf").read_text(), re.M)
        assert named and set(named) <= known, f"{kind}.conf: {set(named) - known}"


def test_a_log_file_has_times(box):
    """Log lines have times in a file, and none on a terminal or in systemd's journal."""
    stamped = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z chunklift: "
    to_file = box.start("consumer", "--bind", f"ipc://{box.dir}/run/c", "--journal", box.journal)
    wait_for(lambda: to_file.log.read_text().count("\n"), what="a line in the log file")
    to_file.terminate()
    assert to_file.wait(20) == 0
    found = to_file.log.read_text().splitlines()
    assert found and all(re.match(stamped, line) for line in found), found
    assert box.run("consumer", "--no-such-option", status=2).stderr.startswith("chunklift: ")
