"""Any number of screens on one engine, each with numbers of its own, and none a danger to another."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aetui import protocol as p
from aetui.engine import client, sockets
from aetui.engine.channel import Connection
from aetui.engine.host import MAX_SCREENS, Host
from aetui.engine.sockets import SocketError

PATIENCE = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def accepted(text: str):
    return lambda reply: isinstance(reply, p.Accepted) and reply.text == text


def test_the_greeting_comes_first_and_requests_are_answered(hall):
    peer = hall.peer()
    assert peer.answers()
    assert peer.got[0] == p.Hello(version=p.VERSION, pid=os.getpid())
    peer.send(p.Look())
    peer.send(p.ListPlaces())
    assert peer.wait(lambda reply: isinstance(reply, p.Places)).places[0].reason == "start"
    view = peer.wait(lambda reply: isinstance(reply, p.View))
    assert view.status.screens == 1
    assert sum(isinstance(reply, p.View) for reply in peer.got) == 1


def test_two_screens_see_what_both_do_under_their_own_numbers(hall):
    one, two = hall.peer(), hall.peer()
    one.send(p.Run(id=5))
    two.wait(accepted("Run"))
    two.send(p.Pause(id=5))
    one.wait(accepted("Pause"))
    assert (one.wait(accepted("Run")).command, one.wait(accepted("Pause")).command) == (5, 0)
    assert (two.wait(accepted("Run")).command, two.wait(accepted("Pause")).command) == (0, 5)
    one.send(p.Set(id=6))
    assert one.wait(lambda reply: isinstance(reply, p.Refused)).command == 6
    assert two.answers()
    assert not any(isinstance(reply, p.Refused) for reply in two.got)


def test_a_screen_that_comes_late_hears_of_the_past_under_no_number_of_its_own(hall):
    one = hall.peer()
    one.send(p.Run(id=1))
    one.send(p.Set(id=2))
    one.wait(lambda reply: isinstance(reply, p.Refused))
    late = hall.peer()
    past = late.wait(lambda reply: isinstance(reply, p.Past))
    assert [(type(event), event.command) for event in past.events] == [(p.Accepted, 0)]


@pytest.mark.parametrize("number", [-1, 2**32, 2**63 - 1])
def test_numbers_that_could_be_taken_for_anothers_are_refused(hall, number: int):
    one, two = hall.peer(), hall.peer()
    one.send(p.Run(id=number))
    assert "is not allowed" in one.wait(lambda reply: isinstance(reply, p.Refused)).text
    assert one.answers() and two.answers()
    assert not any(isinstance(command, p.Run) for command in hall.engine.submitted)


def test_commands_of_a_screen_that_wait_are_bounded(hall, monkeypatch):
    monkeypatch.setattr(client, "MAX_WAITING", 3)
    monkeypatch.setattr(hall.engine, "submit", lambda command: None)
    peer = hall.peer()
    for number in range(1, 5):
        peer.send(p.Run(id=number))
    assert peer.wait(lambda reply: isinstance(reply, p.Refused)).command == 4
    hall.engine.emit(p.Accepted(command=1 << 32 | 1, text="one"))
    peer.wait(accepted("one"))
    peer.send(p.Run(id=5))
    peer.send(p.ListPlaces())
    peer.wait(lambda reply: isinstance(reply, p.Places))
    assert sum(isinstance(reply, p.Refused) for reply in peer.got) == 1


def test_a_request_that_fails_in_the_engine_costs_its_screen_nothing(hall):
    peer = hall.peer()
    peer.send(p.Look(run=1, since=-1))
    assert peer.answers()


def test_a_screen_that_does_not_read_is_let_go_and_delays_nobody(hall, monkeypatch):
    monkeypatch.setattr(Connection, "MAX_QUEUED_BYTES", 2**20)
    stalled, good = hall.bare(), hall.peer()
    assert hall.engine.screens == 2
    for _ in range(40):
        hall.engine.emit(p.Noted(text="x" * 100_000))
        assert good.answers()
    until(lambda: hall.engine.screens == 1)
    stalled.close()


def test_requests_without_end_from_a_screen_that_does_not_read_end_it(hall, monkeypatch):
    monkeypatch.setattr(Connection, "MAX_QUEUED", 500)
    stalled = hall.bare()
    sender = Connection(stalled, p.Reply, "sender")
    sender.start_writing()
    end = time.monotonic() + PATIENCE
    while hall.engine.screens and time.monotonic() < end:
        for _ in range(200):
            sender.send(p.Look(run=1))
        time.sleep(0.001)
    assert hall.engine.screens == 0
    assert hall.peer().answers()


def test_half_a_frame_and_silence_hold_up_nobody(hall):
    half, mute = hall.bare(), hall.bare()
    half.sendall(b"\x10\x00\x00\x00half")
    assert hall.peer().answers()
    assert hall.engine.screens == 3
    for sock in (half, mute):
        sock.close()
    until(lambda: hall.engine.screens == 1)


def test_one_screen_too_many_is_told_so(hall):
    peers = [hall.peer() for _ in range(MAX_SCREENS)]
    late = hall.peer()
    late.wait_end()
    assert [type(reply) for reply in late.got] == [p.Hello, p.Noted]
    assert all(peer.answers() for peer in peers)
    peers[0].connection.close()
    until(lambda: hall.host.screens == MAX_SCREENS - 1)
    assert hall.peer().answers()


def test_screens_come_by_the_socket_in_the_folder_and_follow_it(hall, folder, tmp_path):
    assert hall.host.move(folder) == ""
    guests = [hall.peer(sockets.connect(folder)) for _ in range(3)]
    assert all(peer.answers() for peer in guests)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    assert hall.host.move(other) == ""
    with pytest.raises(SocketError, match="no engine runs in"):
        sockets.connect(folder)
    assert all(peer.answers() for peer in guests)
    assert hall.peer(sockets.connect(other)).answers()
    assert hall.host.move(None) == ""
    assert not (other / "engine.sock").exists()


def test_a_folder_that_can_not_be_trusted_leaves_an_engine_without_a_socket(hall, folder):
    folder.chmod(0o777)
    assert "open to other users" in hall.host.move(folder)
    assert hall.peer().answers()


def test_closing_sends_what_there_is_and_lets_all_go(hall, folder):
    hall.host.move(folder)
    peer, stalled = hall.peer(), hall.bare()
    assert peer.answers()
    hall.engine.emit(p.Ended(text="the engine ends"))
    hall.host.close()
    peer.wait_end()
    assert peer.got[-1] == p.Ended(text="the engine ends")
    assert not (folder / "engine.sock").exists()
    until(lambda: hall.engine.screens == 0)
    stalled.close()


def test_names_that_are_no_text_arrive_as_well_as_they_can(hall):
    peer = hall.peer()
    hall.engine.emit(p.Noted(text="caf\udce9.npy"))
    assert peer.wait(lambda reply: isinstance(reply, p.Noted)).text == "caf?.npy"


def test_descriptors_and_threads_of_screens_that_left_are_given_back(hall):
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    hall.peer().connection.close()
    until(lambda: hall.engine.screens == 0)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("engine-")])
    before = descriptors()
    for _ in range(20):
        peer = hall.peer()
        assert peer.answers()
        peer.connection.close()
        peer.wait_end()
    until(lambda: hall.engine.screens == 0)
    until(lambda: descriptors() <= before)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("engine-")])


# --- an engine that nobody needs --------------------------------------------------------------------


@pytest.fixture
def brief(hall, folder):
    """The engine and host of one that goes soon after its last screen."""
    host = Host(hall.engine, idle=0.05, grace=0.05)
    host.move(folder)
    yield hall.engine, host
    host.close()


def test_an_engine_that_nobody_watches_and_that_does_not_train_ends(brief):
    engine, _ = brief
    assert engine.stopped.wait(PATIENCE)
    assert engine.submitted == [p.Stop(id=0)]


def test_an_engine_with_a_screen_stays(hall, folder):
    host = Host(hall.engine, idle=0.2, grace=0.2)
    ours, theirs = socket.socketpair()
    host.add(theirs)
    assert not hall.engine.stopped.wait(0.5)
    ours.close()
    assert hall.engine.stopped.wait(PATIENCE)
    host.close()


def test_an_engine_that_trains_or_loads_stays_without_screens(hall, folder):
    host = Host(hall.engine, idle=0.2, grace=0.2)
    ours, theirs = socket.socketpair()
    host.add(theirs)
    hall.engine.emit(p.StateChanged(state="running"))
    host.move(folder)
    ours.close()
    until(lambda: host.screens == 0)
    assert not hall.engine.stopped.wait(0.5)
    answer, hall.engine.submit = hall.engine.submit, lambda command: None
    host.submit(p.Open(id=3, folder=str(folder)))
    hall.engine.submit = answer
    hall.engine.emit(p.StateChanged(state="finished"))
    assert not hall.engine.stopped.wait(0.5)
    hall.engine.emit(p.Accepted(command=3, text="opened"))
    assert hall.engine.stopped.wait(PATIENCE)
    host.close()


def test_an_engine_whose_forks_train_stays_until_they_are_through(hall, folder):
    host = Host(hall.engine, idle=0.2, over=0.05, grace=0.2)
    host.move(folder)
    hall.engine.trying = True
    hall.engine.emit(p.StateChanged(state="finished"))
    assert not hall.engine.stopped.wait(0.5)
    hall.engine.trying = False
    hall.engine.emit(p.Noted(text="experiment at step 20: nothing does better than noise"))
    assert hall.engine.stopped.wait(PATIENCE)
    host.close()


@pytest.mark.parametrize("state", ["finished", "non-finite", "failed"])
def test_an_engine_whose_run_has_ended_goes_once_it_is_stored(hall, folder, state: str):
    hall.engine.saved = False
    host = Host(hall.engine, idle=3600.0, over=0.05, grace=3600.0)
    host.move(folder)
    hall.engine.emit(p.StateChanged(state="running"))
    hall.engine.emit(p.StateChanged(state=state))
    assert not hall.engine.stopped.wait(0.5)
    hall.engine.saved = True
    assert hall.engine.stopped.wait(PATIENCE)
    assert hall.engine.submitted == [p.Stop(id=0)]
    host.close()


def test_an_engine_whose_run_is_paused_or_watched_stays_when_one_that_ended_would_go(hall, folder):
    host = Host(hall.engine, idle=3600.0, over=0.05, grace=3600.0)
    host.move(folder)
    hall.engine.emit(p.StateChanged(state="paused"))
    assert not hall.engine.stopped.wait(0.3)
    ours, theirs = socket.socketpair()
    host.add(theirs)
    hall.engine.emit(p.StateChanged(state="finished"))
    assert not hall.engine.stopped.wait(0.3)
    ours.close()
    assert hall.engine.stopped.wait(PATIENCE)
    host.close()


def test_training_that_no_screen_can_come_back_to_ends(hall):
    host = Host(hall.engine, idle=3600.0, grace=0.05)
    hall.engine.emit(p.StateChanged(state="running"))
    assert hall.engine.stopped.wait(PATIENCE)
    host.close()


def test_a_screen_that_only_watches_is_refused_every_command_and_sees_what_others_do(hall):
    watching, steering = hall.peer(), hall.peer()
    watching.send(p.ReadOnly())
    commands = [
        p.Run(id=1), p.Pause(id=2), p.Set(id=3, changes={"optim.lr": "1"}), p.Nudge(id=4), p.Undo(id=5), p.Redo(id=6),
        p.Rewind(id=7), p.Examine(id=8), p.New(id=9), p.Open(id=10), p.Stop(id=11),
    ]  # fmt: skip
    for command in commands:
        watching.send(command)
        refused = watching.wait(lambda reply, id=command.id: getattr(reply, "command", None) == id)
        assert isinstance(refused, p.Refused) and refused.text == p.READ_ONLY
    assert not hall.engine.submitted
    assert steering.answers()
    watching.wait(lambda reply: isinstance(reply, p.Accepted) and reply.command == 0)
    watching.send(p.Look(run=1, since=7))
    watching.send(p.ListPlaces())
    assert watching.wait(lambda reply: isinstance(reply, p.View)).status.step == 7
    watching.wait(lambda reply: isinstance(reply, p.Places))
