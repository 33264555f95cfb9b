"""--lock-wait: runs on one journal that must not overlap."""

import signal

import pytest

from support.box import random_file, wait_for

MIB = 1 << 20


def start_slow(box, *options):
    """A cp that sends its first chunk until its limit is lifted."""
    source = random_file(box.dir / "first", MIB, seed=1)
    child = box.start_cp("--no-progress", "--bwlimit", "1KiB", *options, source, f"{box.dir}/out/first")
    wait_for(lambda: (box.journal / "runs").exists() and (box.journal / "journal.jsonl").exists() and box.records("epoch"), what="the first run")
    wait_for(lambda: "bwlimit    1 KiB/s" in box.run("set", "--journal", box.journal, status=None).stdout, what="the limit")
    return child


def second(box):
    return random_file(box.dir / "second", 1000, seed=2), f"{box.dir}/out/second"


def lift(box):
    box.run("set", "--journal", box.journal, "--bwlimit", "none")


@pytest.mark.parametrize("options", [(), ("--lock-wait", "0")], ids=["without", "with"])
def test_a_second_run_waits_for_the_first(box, options):
    """It says for which process, sends nothing before, and then does its work. The first run may have the option or not."""
    first = start_slow(box, *options)
    other = box.start_cp("--no-progress", "--lock-wait", "1h", *second(box))
    wait_for(lambda: f"{box.journal}: process {first.pid} uploads with this journal; waiting for its end, at most 3600 s" in other.log.read_text(), what="the line")
    lift(box)
    assert first.wait(60) == 0 and other.wait(60) == 0, other.log.read_text()
    box.gone()
    assert [r["dest"].rpartition("/")[2] for r in box.records("put")] == ["first", "second"]
    assert "1 file uploaded (1000 B)" in other.log.read_text()


def test_the_wait_is_over(box):
    """One line with the pid, exit status 3, and nothing was sent."""
    first = start_slow(box)
    for time in ("0", "300ms"):
        done = box.cp("--lock-wait", time, *second(box), status=3)
        assert done.stderr.splitlines()[-1] == (f"chunklift: {box.journal}: process {first.pid} still uploads with this journal, and --lock-wait is over; "
                                                "run this command after its end")
    assert not (box.dir / "out" / "second").exists()
    lift(box)
    assert first.wait(60) == 0


def test_a_killed_run_holds_nothing(box):
    first = start_slow(box, "--lock-wait", "0")
    other = box.start_cp("--no-progress", "--lock-wait", "1h", *second(box))
    wait_for(lambda: f"process {first.pid} uploads" in other.log.read_text(), what="the line")
    first.kill()
    first.wait()
    assert other.wait(60) == 0, other.log.read_text()


def test_a_run_without_the_option_joins_at_once(box):
    first = start_slow(box, "--lock-wait", "0")
    lifted = box.start_cp("--no-progress", "--bwlimit", "none", *second(box))
    assert lifted.wait(60) == 0 and "waiting" not in lifted.log.read_text()
    assert first.wait(60) == 0


def test_a_signal_ends_the_wait(box):
    first = start_slow(box)
    other = box.start_cp("--no-progress", "--lock-wait", "1h", *second(box))
    wait_for(lambda: f"process {first.pid} uploads" in other.log.read_text(), what="the line")
    other.send_signal(signal.SIGINT)
    assert other.wait(60) == 128 + signal.SIGINT
    lift(box)
    assert first.wait(60) == 0


def test_a_consumer_elsewhere_has_no_lock(box):
    done = box.run("cp", "--lock-wait", "1s", "--consumer", f"ipc://{box.dir}/run/c", "a", "b", status=2)
    assert done.stderr.startswith("chunklift: --lock-wait: ") and done.stderr.count("\n") == 1
    assert "--lock-wait soon: not a time" in box.cp("--lock-wait", "soon", "a", "b", status=2).stderr
