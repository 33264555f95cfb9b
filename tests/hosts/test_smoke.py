"""Three hosts in a few seconds, in every run, and checks of the test hosts themselves (support/hosts.py)."""

import os
import socket
import time

import pytest

from servers.sink import Sink
from support.apart import Apart, sparse_file
from support.box import check_one_record_each, wait_for
from support.hosts import Hosts

MB = 1_000_000


def test_an_uploader_host_that_is_cut_off_comes_back(box):
    with Hosts(box, "consumer", "producer", "u1") as hosts, Sink(hosts["consumer"]) as store:
        with Apart(box, hosts, store, lease="1s") as apart:
            src = sparse_file(apart.sources / "f", 20 * MB)
            hosts["u1"].limit("100mbit")
            apart.uploader("u1", slots=2)
            apart.producer(src, "s3://bucket/f")
            wait_for(lambda: apart.recorded() >= 1, 20, "a chunk is recorded")
            hosts["u1"].partition()
            wait_for(lambda: apart.leases() == 0, 20, "its leases expire")
            before = apart.recorded()
            assert before < 4
            hosts["u1"].heal()
            apart.ends_well("producer", 30)
            apart.stop_all()
            check_one_record_each(box.records())


# the hosts -----------------------------------------------------------------------------------------------------------


def connection(hosts, a, b):
    """Two ends of a tcp connection from host a to host b."""
    listener = hosts[b].within(lambda: socket.create_server((hosts[b].address, 5000)))
    with listener:
        client = hosts[a].within(lambda: socket.create_connection((hosts[b].address, 5000), timeout=5))
        return client, listener.accept()[0]


def carried(hosts, a, b, seconds):
    """Bytes that b receives from a in `seconds` while a sends as fast as possible."""
    client, server = connection(hosts, a, b)
    with client, server:
        client.setblocking(False)
        server.setblocking(False)
        got, piece, end = 0, bytes(1 << 18), time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                client.send(piece)
            except BlockingIOError:
                pass
            try:
                got += len(server.recv(1 << 20))
            except BlockingIOError:
                time.sleep(0.0005)
        return got


def round_trip(hosts, a, b):
    client, server = connection(hosts, a, b)
    with client, server:
        times = []
        for _ in range(3):
            began = time.monotonic()
            client.send(b"x")
            server.recv(1)
            server.send(b"x")
            client.recv(1)
            times.append(time.monotonic() - began)
        return min(times)


def datagrams(hosts, a, b, count):
    """How many of `count` datagrams arrive."""
    server = hosts[b].within(lambda: socket.socket(type=socket.SOCK_DGRAM))
    client = hosts[a].within(lambda: socket.socket(type=socket.SOCK_DGRAM))
    with client, server:
        server.bind((hosts[b].address, 5000))
        got = 0
        for _ in range(count // 20):
            for _ in range(20):
                client.sendto(b"x", (hosts[b].address, 5000))
            got += sum(1 for _ in iter(lambda: arrived(server), False))
            if got == 0:
                break
        return got


def arrived(server):
    server.settimeout(0.03)
    try:
        return server.recv(10)
    except TimeoutError:
        return False


@pytest.mark.hosts
@pytest.mark.parametrize("delay_ms", [None, 0])
def test_a_wire_carries_what_it_is_limited_to(box, delay_ms):
    with Hosts(box, "a", "b", delay_ms=delay_ms) as hosts:
        free = carried(hosts, "a", "b", 0.3)
        hosts["a"].limit("20mbit")
        limited = carried(hosts, "a", "b", 0.4)
        assert limited < 0.4 * 20e6 / 8 * 1.3 + 64e3, "more than its limit and what it may save up"
        assert free > 4 * limited


def test_a_cut_off_host_hears_nothing_and_is_told_nothing(box):
    with Hosts(box, "a", "b", "c") as hosts:
        client, server = connection(hosts, "a", "b")
        with client, server:
            hosts["b"].partition()
            client.send(b"lost")  # no error
            server.settimeout(0.3)
            with pytest.raises(TimeoutError):
                server.recv(4)
            assert round_trip(hosts, "a", "c") < 1
            hosts["b"].heal()
            server.settimeout(10)
            assert server.recv(4) == b"lost"  # the kernel resends it


@pytest.mark.hosts
def test_a_long_wire_takes_its_time_and_loses_what_it_is_told_to(box):
    with Hosts(box, "a", "b", delay_ms=5) as hosts:
        assert 0.02 <= round_trip(hosts, "a", "b") < 0.2
        hosts.delay(0)
        round_trip(hosts, "a", "b")  # the packets in flight
        assert round_trip(hosts, "a", "b") < 0.02
        for percent, least, most in ((0, 400, 400), (30, 220, 340), (100, 0, 0), (0, 400, 400)):
            hosts.lose(percent)
            assert least <= datagrams(hosts, "a", "b", 400) <= most


def test_hosts_are_apart_and_nothing_stays_of_them(box):
    src = box.dir / "src"
    src.mkdir()
    (src / "f").write_text("here")
    with Hosts(box, "a", "b") as hosts:
        hosts["a"].hide(src)
        said = [h.run("sh", "-c", f"hostname; cat /proc/sys/kernel/random/boot_id; ls {src}").stdout.split("\n") for h in hosts]
        assert [s[0] for s in said] == ["a", "b"]
        assert said[0][1] != said[1][1] and open("/proc/sys/kernel/random/boot_id", encoding="ascii").read().strip() not in (said[0][1], said[1][1])
        assert said[0][2] == "" and said[1][2] == "f"
        with open("/proc/net/dev", encoding="ascii") as f:
            assert "w1-a" not in f.read()
        keepers = [h.keeper.pid for h in hosts]
    for pid in keepers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
