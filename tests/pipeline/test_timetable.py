"""--bwlimit with a timetable: the consumer follows its local clock. TZ says how late it is there, so no test waits for a time of day."""

import json
import time

import pytest

from support.box import random_file, wait_for

MIB = 1 << 20


def zone(hours, minutes, seconds=0):
    """A TZ in which it is this time now."""
    ahead = hours * 3600 + minutes * 60 + seconds - int(time.time()) % 86400
    sign, size = ("-", ahead) if ahead >= 0 else ("+", -ahead)  # POSIX: what is added to local time
    return f"LOC{sign}{size // 3600:02}:{size // 60 % 60:02}:{size % 60:02}"


def settings(box, *args):
    done = box.run("set", "--journal", box.journal, "--json", *args, status=None)
    return json.loads(done.stdout) if done.returncode == 0 else None


def start(box, timetable, tz, *options):
    source = random_file(box.dir / "source", 2 * MIB)
    child = box.start_cp("--no-progress", "--chunk-size", "64KiB", "--bwlimit", timetable, *options, source, f"{box.dir}/out", env={"TZ": tz})
    found = wait_for(lambda: ((found := settings(box)) and "bwlimit_timetable" in found and found) or child.poll() is not None, what="the limit")
    return child, None if found is True else found


def test_the_limit_changes_while_it_runs(box):
    """The entry of the next minute is some seconds away. A machine that starts the run later than that tries again with more time."""
    timetable = "07:00,1k 12:00,off"
    for seconds in (3, 15, 50):
        child, found = start(box, timetable, zone(11, 59, 60 - seconds), "--force")
        if found and found["bwlimit"] == 1024:
            break
        assert child.wait(60) == 0
        box.gone()
    assert found["bwlimit_timetable"] == timetable and found["bwlimit_next"] == 0 and 0 < found["bwlimit_next_in_s"] <= seconds
    assert child.wait(90) == 0, child.log.read_text()  # 2 MiB with 1 KiB a second would take half an hour
    assert "bwlimit none from now on, by its timetable" in (box.journal / "consumer.log").read_text()


def test_it_survives_the_consumer_and_is_replaced(box):
    child, found = start(box, "07:00,1k 20:00,off", zone(12, 0, 30))
    assert found["bwlimit"] == 1024 and 7 * 3600 < found["bwlimit_next_in_s"] <= 8 * 3600
    box.kill_all("chunklift-consumer")
    again = wait_for(lambda: settings(box), what="another consumer")
    assert again["bwlimit"] == 1024 and again["bwlimit_timetable"] == "07:00,1k 20:00,off"
    shown = box.run("status", "--journal", box.journal).stdout
    assert "set       bwlimit 1 KiB/s, none in 7:" in shown and " (timetable 07:00,1k 20:00,off)" in shown
    assert "bwlimit_timetable" not in settings(box, "--bwlimit", "none")
    assert child.wait(60) == 0, child.log.read_text()


def test_a_limit_of_another_day(box):
    """The first entry after today's is in force tomorrow; until then the last one of yesterday is."""
    child, found = start(box, "20:00,10M 21:00,1k", zone(12, 0))
    assert found["bwlimit"] == 1024 and found["bwlimit_next"] == 10 * MIB
    settings(box, "--bwlimit", "10:00,off")
    assert child.wait(60) == 0, child.log.read_text()


def test_the_producer_has_it_too(box):
    at = f"ipc://{box.dir}/run/c"
    box.start("consumer", "--journal", box.journal, "--bind", at, env={"TZ": zone(12, 0)})
    wait_for((box.journal / "consumer").exists, what="the consumer")
    box.start("uploader", "--consumer", at, "--allow", f"{box.dir}/")
    box.run("producer", "--consumer", at, "--bwlimit", "07:00,9M 20:00,off", random_file(box.dir / "source", 1000), f"{box.dir}/out")
    assert settings(box)["bwlimit"] == 9 * MIB


@pytest.mark.parametrize("wrong", ["8:00,1M", "08:00,1M 25:00,off", "Mo-08:00,1M", "08:00,fast", "08:00,1M,2M", "08:00,1B"])
def test_a_timetable_that_cannot_be_read(box, wrong):
    """One line that names the entry, exit status 2, in every command."""
    for command in (["cp", "a", "b"], ["producer", "a", "b"], ["set"]):
        done = box.run(*command, "--bwlimit", wrong, status=2)
        assert done.stderr.startswith(f"chunklift: --bwlimit: {wrong.split()[-1]}: ") and done.stderr.count("\n") == 1
