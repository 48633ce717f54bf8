"""Reading states over real HTTP and WebSockets, from servers that work and others."""

import copy
import json
import time

import pytest

from envs.osu_mania.live.readers import StateReader, loopback

FORMS = [("v2", "websocket"), ("v2", "http"), ("v1", "websocket"), ("v1", "http")]


@pytest.fixture
def read(server):
    readers = []

    def read(api="v2", transport="websocket", **kwargs):
        readers.append(StateReader(server.port, api=api, transport=transport, poll=10.0, **kwargs))
        return readers[-1]

    yield read
    for reader in readers:
        reader.close()


@pytest.mark.parametrize(("api", "transport"), FORMS)
def test_every_form_of_state(server, messages, read, wait_for, api, transport):
    server.answers = messages
    reader = read(api, transport)
    wait_for(lambda: reader.read().state is not None)
    assert reader.read().state.counts == (0, 1, 0, 0, 0, 1)
    assert reader.read().problem == ""
    if api == "v2":
        wait_for(lambda: reader.read().errors == (30,))
    else:
        assert reader.read().errors is None
    before = reader.read()
    number = before.number
    wait_for(lambda: reader.read().number > number + 3)
    assert before.number == number  # what was read doesn't change
    assert reader.read().age(time.monotonic()) < 10


def half(content):
    text = json.dumps(content)
    return text[: len(text) // 2]


FAULTS = {
    "not ready": (lambda m: {"error": "not_ready"}, "no game yet"),
    "garbage": (lambda m: "\x00\x01 osu!", "no JSON"),
    "half a JSON": (half, "no JSON"),
    "another JSON": (lambda m: {"players": []}, "is missing"),
}


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_and_got_over(server, messages, read, wait_for, transport, fault):
    make, words = FAULTS[fault]
    server.answers = messages
    reader = read("v2", transport)
    wait_for(lambda: reader.read().state is not None)
    server.answers = {path: make(content) for path, content in messages.items()}
    wait_for(lambda: words in reader.read().problem)
    assert (reader.read().state is None) == (fault == "not ready")
    old = reader.read()
    time.sleep(0.05)
    if fault != "not ready":  # what there was grows old
        assert reader.read().received == old.received
    later = copy.deepcopy(messages)
    for path in ("/json/v2", "/websocket/v2"):
        later[path]["play"]["score"] = 4321
    server.answers = later
    wait_for(lambda: reader.read().problem == "" and reader.read().state.score == 4321)


def test_http_500_and_back(server, messages, read, wait_for):
    server.answers, server.status = messages, 500
    reader = read("v2", "http")
    wait_for(lambda: "HTTP 500" in reader.read().problem)
    server.status = 302
    wait_for(lambda: "HTTP 302" in reader.read().problem)
    server.status = 200
    wait_for(lambda: reader.read().problem == "")


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_a_stall_makes_the_state_old(server, messages, read, wait_for, transport):
    server.answers = messages
    reader = read("v2", transport)
    wait_for(lambda: reader.read().state is not None)
    server.stalled.set()
    wait_for(lambda: reader.read().age(time.monotonic()) > 1.2)
    server.stalled.clear()
    wait_for(lambda: reader.read().age(time.monotonic()) < 0.5 and not reader.read().problem)


@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_nobody_is_there(read, wait_for, server, transport):
    server.close()
    reader = read("v2", transport)
    wait_for(lambda: "refused" in reader.read().problem)
    assert reader.read().state is None


def test_reading_never_waits(server, messages, read, wait_for):
    server.answers = messages
    reader = read()
    wait_for(lambda: reader.read().state is not None)
    server.stalled.set()
    assert reader.read() is reader.read()
    server.stalled.clear()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.5", "localhost", "::1", "[::1]", "127.1.2.3"]
)
def test_this_machine(host):
    assert loopback(host)


@pytest.mark.parametrize("host", ["192.168.0.2", "0.0.0.0", "example.org", "10.0.0.1", "", "::2"])
def test_no_other_machine(host):
    with pytest.raises(ValueError, match="this machine alone"):
        StateReader(24050, host=host)


@pytest.mark.parametrize(
    "wrong", [{"api": "v3"}, {"transport": "udp"}, {"port": 0}, {"port": 70_000}, {"poll": 0.1}]
)
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match="must"):
        StateReader(**{"port": 24050, **wrong})
