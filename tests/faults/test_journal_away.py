"""Another program truncates, removes or replaces the journal while a consumer has it open.

The consumer logs this once and ends, cp ends with 3, and no program starts an empty journal in its place.
"""

import os
import shutil
import signal

import pytest

from support.box import journal_lines, preloaded, random_file, wait_for
from support.faults import Faults

MIB = 1 << 20


def truncate(journal):
    os.truncate(journal / "journal.jsonl", 0)


def remove_file(journal):
    (journal / "journal.jsonl").unlink()


def replace_file(journal):
    """As `mv` and logrotate's `create` do."""
    (journal / "journal.jsonl").rename(journal / "journal.jsonl.1")
    (journal / "journal.jsonl").touch(0o600)


def remove_directory(journal):
    shutil.rmtree(journal)


def replace_directory(journal):
    journal.rename(journal.with_name("old"))
    journal.mkdir(0o700)


def chunks(journal):
    return sum(b'"ev":"chunk"' in line for line in journal_lines(journal))


def slow_cp(box, *more):
    random_file(box.dir / "src", 40 * MIB)
    child = box.start_cp("--no-progress", "--bwlimit", "20MiB", "--chunk-size", "1MiB", *more, box.dir / "src", box.dir / "out")
    wait_for(lambda: child.poll() is not None or chunks(box.journal) > 2, 30, "some chunks", every=0.005)
    assert child.poll() is None, child.log.read_text()
    return child


@pytest.mark.parametrize("happens", [truncate, remove_file, replace_file, remove_directory, replace_directory])
def test_cp_ends_with_3_and_begins_no_other_journal(box, happens):
    child = slow_cp(box)
    happens(box.journal)
    assert child.wait(30) == 3, child.log.read_text()
    box.gone()
    said = [line for line in child.log.read_text().splitlines() if line.startswith("chunklift: ")]
    assert len(said) == 1 and str(box.journal) in said[0] and "nothing more is acknowledged" in said[0], child.log.read_text()
    active = box.journal / "journal.jsonl"
    assert not active.exists() or active.stat().st_size == 0
    assert not (box.dir / "out").exists()


def test_a_loss_that_the_consumer_finds_at_its_end_is_no_success(box):
    """cp fails when all files are acknowledged and the consumer finds the journal truncated at its `stop` line."""
    faults = Faults(box)
    faults.arm("stop_decided", action="stop")
    child = box.start_cp("--no-progress", random_file(box.dir / "src", 1000), box.dir / "out")
    faults.wait("stop_decided", meanwhile=lambda: child.poll() is None)
    truncate(box.journal)
    box.kill_all("chunklift-consumer", signal.SIGCONT)
    assert child.wait(20) == 3, child.log.read_text()
    assert "another program truncated it" in child.log.read_text()


def test_cp_that_lost_its_consumer_and_the_journal_begins_no_other(box):
    child = slow_cp(box)
    box.kill_all("chunklift-consumer", signal.SIGSTOP)
    shutil.rmtree(box.journal)
    box.journal.mkdir(0o700)
    box.kill_all("chunklift-consumer")
    assert child.wait(30) == 3, child.log.read_text()
    assert "removed or replaced" in child.log.read_text()
    assert not (box.journal / "journal.jsonl").exists()


def test_a_consumer_without_work_answers_nothing_from_memory(box):
    random_file(box.dir / "src", MIB)
    endpoint = f"ipc://{box.dir}/run/c"
    consumer = box.start("--journal", box.journal, "--bind", endpoint, program="chunklift-consumer")
    upload = ("cp", "--consumer", endpoint, "--retry-for", "1s", "--quiet", box.dir / "src", box.dir / "out")
    box.run(*upload)
    truncate(box.journal)
    second = box.start(*upload)
    assert consumer.wait(20) == 3
    assert "another program truncated it" in consumer.log.read_text()
    second.kill()
    second.wait()


def test_two_consumers_on_a_file_system_without_locks(box):
    """The first consumer ends at its next turn, because it finds the epoch line of the second."""
    consumers = []
    for n in range(2):
        consumers.append(box.start("--journal", box.journal, "--bind", f"ipc://{box.dir}/run/c{n}", program="chunklift-consumer",
                                   env=preloaded("nolock")))
        wait_for(lambda: "serving" in consumers[n].log.read_text(), what="a consumer that serves")
    box.run("status", "--consumer", f"ipc://{box.dir}/run/c0", status=None, timeout=30)
    assert consumers[0].wait(20) == 3
    assert "another program writes to it" in consumers[0].log.read_text()
    box.run("status", "--consumer", f"ipc://{box.dir}/run/c1")
    consumers[1].terminate()
    assert consumers[1].wait(20) == 0
    box.run("journal", "verify", box.journal)
