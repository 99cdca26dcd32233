"""Hostile trainings behind the wall: whatever they say, write or leave, the run ends with its reason."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from experiments.cluster import RankInfo
from experiments.errors import SAYS, ExperimentError, ForbiddenError, SandboxError, StoppedError
from experiments.run_spec import RunSpec
from experiments.sandbox import supervisor
from experiments.sandbox.box import OUTPUT
from experiments.sandbox.channel import Channel
from experiments.sandbox.limits import Limits
from experiments.sandbox.messages import FromInside, Metrics, Params
from experiments.sandbox.supervisor import Supervisor
from experiments.stop_signal import PreemptedError, StopSignal
from tests.slurm import wait_for

START = """
import json, os, signal, socket, sys, time
pipe = socket.socket(fileno=int(sys.argv[1]))
begin = json.loads(pipe.makefile().readline())
def say(**message): pipe.sendall(json.dumps(message).encode() + b"\\n")
"""


WRITE = 'f = open("a", "wb"); f.write(b"x" * 2**20); f.flush()'


class Watch:
    """A run whose training is a few lines of Python, in place of the bundle's."""

    def __init__(self, folder: Path, lines: str, **limits: Any) -> None:
        for name in ("extract", "run/bundle"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        spec = RunSpec("E1-R1", folder / "run", "b", folder / "extract", "sqlite:///secret.db", "", "E1", "cam7")
        self.stop, self.taken = StopSignal(), list[FromInside]()
        self.on_first: Callable[[], object] = lambda: None
        self.supervisor = Supervisor(
            spec, RankInfo(), self.stop, self.take, limits=Limits(**limits), program=("-c", START + lines)
        )

    def take(self, message: FromInside, _channel: Channel) -> None:
        self.taken.append(message)
        self.on_first()

    def run(self) -> None:
        self.supervisor.run()

    def fails(self, sentence: str, kind: type[Exception] = SandboxError) -> None:
        with pytest.raises(kind, match=sentence):
            self.run()


def test_a_training_says_figures_and_ends(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="metrics", values={"loss": 1}, step=1); say(kind="ended", how="done")')

    watch.run()

    assert watch.taken == [Metrics(values={"loss": 1.0}, step=1)]


def test_it_is_told_nothing_of_tracking_people_and_places(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="ended", how="failed", reason=json.dumps(begin))')

    with pytest.raises(ExperimentError) as raised:
        watch.run()

    said = str(raised.value)
    assert "/work/extract" in said
    assert not [word for word in ("secret.db", "cam7", str(tmp_path)) if word in said]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('pipe.sendall(b"\\x00\\xff{}\\n"); time.sleep(60)', "broke the protocol"),
        ('say(kind="metrics", values={}, step=1, end="done"); time.sleep(60)', "broke the protocol"),
        ('say(kind="tags", values={"erios.reason": "none"}); time.sleep(60)', "broke the protocol"),
        ('pipe.sendall(b"x" * 3_000_000); time.sleep(60)', "more than 1000000 bytes"),
        ("sys.exit(0)", "exit code 0 and without a last word"),
        ("os._exit(7)", "exit code 7"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("os.kill(os.getppid(), signal.SIGKILL)", "without a last word|killed by"),
        ("pipe.close(); time.sleep(60)", "without a last word|killed by"),
    ],
)
def test_a_training_that_breaks_the_rules_is_ended_with_its_reason(tmp_path: Path, lines: str, sentence: str) -> None:
    Watch(tmp_path, lines).fails(sentence)


def test_who_fills_the_disk_is_ended(tmp_path: Path) -> None:
    lines = 'f = open("/work/output/much", "wb")\nwhile True: f.write(b"x" * 2**20); f.flush(); time.sleep(0.01)'
    Watch(tmp_path, lines, gigabytes=0).fails("wrote more than 0 GiB")


@pytest.mark.parametrize("how", ["bytearray(2**24)", "mmap.mmap(-1, 2**24)"])
def test_who_holds_too_much_memory_is_ended(tmp_path: Path, how: str) -> None:
    lines = f"""
import mmap
held = []
while len(held) < 80:
    held.append({how})
    held[-1][:] = b"x" * 2**24
    time.sleep(0.01)
time.sleep(60)
"""
    Watch(tmp_path, lines, memory_gb=1).fails("held more than 1 GiB of memory")


def test_who_starts_countless_threads_is_ended(tmp_path: Path) -> None:
    lines = """
import threading
for _ in range(50): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)
"""
    Watch(tmp_path, lines, threads=40).fails("40 threads")


def test_who_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(tmp_path, "time.sleep(60)", hours=1)
    clock = time.monotonic
    later = threading.Event()
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3601 * later.is_set())
    threading.Timer(1, later.set).start()
    watch.fails("longer than 1 hours")


def test_who_makes_countless_files_is_ended(tmp_path: Path) -> None:
    lines = 'n = 0\nwhile True: open(f"/work/checkpoints/{n}", "w").close(); n += 1; time.sleep(0.001)'
    Watch(tmp_path, lines, files=50).fails("50 files")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (f'for n in range(50): os.mkdir("d" * 200); os.chdir("d" * 200)\n{WRITE}', "wrote more than 0 GiB"),
        ('for n in range(3000): os.mkdir("d"); os.chdir("d")', "hid a folder from its measurement"),
        (f'{WRITE}; os.unlink("a")', "wrote more than 0 GiB"),
    ],
    ids=["in a long path", "in a deep folder", "in a file that no folder names"],
)
def test_what_is_hidden_is_found(tmp_path: Path, lines: str, sentence: str) -> None:
    Watch(tmp_path, f'os.chdir("/work/output")\n{lines}\ntime.sleep(60)', gigabytes=0, files=9000).fails(sentence)
    subprocess.run(["rm", "-r", tmp_path / "run"], check=True)  # deeper than Python's own removal goes


def test_who_prints_without_end_is_ended(tmp_path: Path) -> None:
    Watch(tmp_path, 'while True: os.write(2, b"x" * 2**16)', messages_mb=1).fails("printed more than 1 MiB")


def test_the_log_is_not_in_its_hands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It prints to a pipe: what stands in the log stays, and nothing of it is read."""
    lines = """
os.write(2, b"printed\\n")
for number in (1, 2):
    try: os.ftruncate(number, 0)
    except OSError: pass
    try: print("read", os.read(os.open(f"/proc/self/fd/{number}", os.O_RDWR | os.O_NONBLOCK), 100))
    except OSError: pass
say(kind="ended", how="done")
"""
    Watch(tmp_path, lines).run()

    assert "printed" in capfd.readouterr().err


@pytest.mark.parametrize(
    "lines",
    [
        'for n in range(20000): pipe.sendall(b\'{"kind": "verify"}\\n\')\ntime.sleep(600)',
        """
os.chdir("/work/output")
for n in range(300): os.makedirs(f"p/{n}"); os.makedirs("q", exist_ok=True); os.symlink("/usr", f"q/{n}")
import ctypes; swap = ctypes.CDLL(None).renameat2; say(kind="verify")
while True: swap(-100, b"p", -100, b"q", 2)
""",
        """
import ctypes, fcntl
lease = os.open("/work/extract/data", os.O_RDONLY); say(kind="verify")
try: fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK); say(kind="params", values={"lease": "taken"})
except OSError: pass
time.sleep(600)
""",
    ],
    ids=["questions without end", "folders that turn into links", "a lease on the extract"],
)
def test_nothing_keeps_a_revocation_from_ending_it(tmp_path: Path, lines: str) -> None:
    watch = Watch(tmp_path, lines)
    (tmp_path / "extract" / "data").write_text("cleared")
    told(watch, ForbiddenError("the clearance has ended"))
    began = time.monotonic()

    watch.fails("the clearance has ended", ForbiddenError)

    assert time.monotonic() - began < 60
    assert not [message for message in watch.taken if isinstance(message, Params)]
    assert inside(tmp_path / "run" / "output") == []


def test_while_the_supervisor_is_busy_a_revocation_ends_it_too(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="verify"); time.sleep(600)')

    def be_busy() -> None:
        watch.stop.reason = ForbiddenError("the clearance has ended")
        wait_for(lambda: inside(tmp_path / "run" / "output") == [], "end of the training", 60)

    watch.on_first = be_busy

    watch.fails("the clearance has ended", ForbiddenError)


def test_who_leaves_no_room_on_the_disk_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SPARE", 2**60)

    Watch(tmp_path, "time.sleep(60)").fails("less than a gigabyte free")


def told(watch: Watch, reason: ExperimentError) -> None:
    """Give the reason to stop once the training has begun."""
    watch.on_first = lambda: setattr(watch.stop, "reason", reason)


def test_who_writes_no_checkpoint_in_time_has_failed(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="verify"); time.sleep(60)', grace_s=0.5)
    told(watch, PreemptedError("stopped by SIGTERM"))

    watch.fails("wrote no checkpoint in the time")


def test_who_talks_without_end_is_ended(tmp_path: Path) -> None:
    lines = 'while True: say(kind="params", values={"a": "x" * 5000})'
    Watch(tmp_path, lines, messages_mb=1).fails("more than 1 MiB of messages")


def test_who_starts_processes_without_end_is_ended(tmp_path: Path) -> None:
    lines = "for _ in range(40): os.fork() or time.sleep(60)\ntime.sleep(60)"
    Watch(tmp_path, lines, processes=20).fails("more than 20 processes")


def test_who_does_not_leave_when_told_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(supervisor.GRACE, "forbidden", 0.5)
    watch = Watch(tmp_path, 'signal.signal(15, signal.SIG_IGN)\nsay(kind="verify")\ntime.sleep(600)')
    told(watch, ForbiddenError("the clearance has ended"))

    began = time.monotonic()
    watch.fails("the clearance has ended", ForbiddenError)

    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (ForbiddenError("the clearance has ended"), "done"),
        (ForbiddenError("the clearance has ended"), "preempted"),
        (ForbiddenError("the clearance has ended"), "failed"),
        (StoppedError("a meeting"), "stopped"),
        (PreemptedError("stopped by SIGTERM"), "preempted"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_training_that_was_told_to_leave_ends_with_our_reason_whatever_it_says(
    tmp_path: Path, reason: ExperimentError, says: str
) -> None:
    watch = Watch(tmp_path, f'say(kind="verify"); pipe.recv(100); say(kind="ended", how="{says}", reason="a poem")')
    told(watch, reason)

    watch.fails(f"^{reason}$", type(reason))


@pytest.mark.parametrize("how", ["preempted", "stopped", "forbidden"])
def test_who_leaves_as_if_told_to_has_failed(tmp_path: Path, how: str) -> None:
    """Else a training could have itself queued again without end, or end in words of its own."""
    Watch(tmp_path, f'say(kind="ended", how="{how}", reason="a poem")').fails("which nobody did")


def test_a_notice_that_comes_when_all_is_done_changes_nothing(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="verify"); pipe.recv(100); say(kind="ended", how="done")')
    told(watch, PreemptedError("stopped by SIGTERM"))

    watch.run()


def test_a_training_whose_right_has_ended_does_not_begin(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="verify"); say(kind="ended", how="done")')
    watch.stop.reason = ForbiddenError("the clearance has ended")

    watch.fails("the clearance has ended", ForbiddenError)

    assert watch.taken == []


def test_what_it_says_of_its_failure_is_marked_as_its_own_words(tmp_path: Path) -> None:
    Watch(tmp_path, 'say(kind="ended", how="failed", reason="a poem")').fails(f"^{SAYS}a poem$", ExperimentError)


def test_after_its_last_word_nothing_is_heard(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 'say(kind="ended", how="done"); say(kind="metrics", values={"a": 1}, step=1)')

    watch.run()

    assert watch.taken == []


@pytest.mark.parametrize(
    ("world", "local", "address", "runs"),
    [(4, 4, "10.1.2.3", True), (2, 1, "127.0.0.1", True), (2, 1, "10.1.2.3", False), (2, 1, "n1.cluster", False)],
)
def test_ranks_on_several_machines_are_refused_without_a_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: int, local: int, address: str, runs: bool
) -> None:
    monkeypatch.setenv("MASTER_ADDR", address)
    watch = Watch(tmp_path, 'say(kind="ended", how="done")')
    watch.supervisor.info = RankInfo(world_size=world, local_world_size=local)

    if runs:
        watch.run()
    else:
        watch.fails("several machines")


def test_the_ranks_of_a_machine_share_a_loopback_that_nobody_else_is_on(tmp_path: Path) -> None:
    server, message = socket.socket(), b"from the first rank"
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = 23456
    lines = f"""
import threading
rank = begin["rank"]["rank"]
try:
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2)
    say(kind="ended", how="failed", reason="out")
except OSError: pass
if rank == 0:
    here = socket.socket(); here.bind(("127.0.0.1", {port})); here.listen()
    here.accept()[0].sendall({message!r})
else:
    while True:
        try: there = socket.create_connection(("127.0.0.1", {port})); break
        except OSError: time.sleep(0.05)
    open("/work/output/got", "wb").write(there.recv(100))
say(kind="ended", how="done")
"""
    watches = [Watch(tmp_path, lines) for _rank in range(2)]
    for rank, watch in enumerate(watches):
        watch.supervisor.info = RankInfo(rank, 2, rank, 2)
    second = threading.Thread(target=watches[1].run)
    second.start()
    watches[0].run()
    second.join()

    assert (tmp_path / "run" / "output" / "got").read_bytes() == message
    server.close()


def test_nothing_that_it_started_lives_after_it(tmp_path: Path) -> None:
    lines = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("/work/output/began", "w").close()
        time.sleep(600)
while not os.path.exists("/work/output/began"): time.sleep(0.01)
say(kind="ended", how="done")
"""
    Watch(tmp_path, lines).run()

    assert inside(tmp_path / "run" / "output") == []


def test_it_ends_with_the_process_that_watches_it(tmp_path: Path) -> None:
    lines = 'say(kind="verify"); time.sleep(600)'
    pid = os.fork()
    if pid == 0:
        os.setsid()
        try:
            Watch(tmp_path, lines).run()
        finally:
            os._exit(0)
    output = tmp_path / "run" / "output"
    wait_for(lambda: len(inside(output)) > 1, "training", 60)

    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    wait_for(lambda: inside(output) == [], "end of all that it started", 30)


def inside(output: Path) -> list[int]:
    """The processes that see this folder as theirs."""
    held = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if Path(f"{path}/root{OUTPUT}").samefile(output):
                held.append(int(path.name))
    return held
