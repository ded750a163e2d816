"""The fork server: imports once, then gives birth to workers that have everything imported.

`PYTHON .../zeroidle_worker/__main__.py` becomes one when ZEROIDLE_ZYGOTE_FD names a SOCK_SEQPACKET socket to the
plane and ZEROIDLE_ZYGOTE_LIST a file of `preload.record`. It has one thread and never touches CUDA: both are checked
before every fork, because a forked child has neither the other threads nor a usable CUDA context.

Packets are JSON. To the plane: {"ready": modules} or {"unfit": sentence}; {"forked": id, "pid": n} or
{"refused": id, "reason": sentence}; {"exited": pid, "code": status or minus the signal}. From it: {"fork": id,
"env": {...}, "cwd": path} with two descriptors (the log, the parent pipe), {"reap": pid}. An ended child stays a
zombie until the plane says "reap", so that its number cannot become a stranger's while the plane kills its session.
The end of the socket is the end of the fork server.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from zeroidle_worker.warm import warm_up

#: Libraries start their thread pools at import unless told not to; a forked child sets them anew.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_MAX_PACKET = 1 << 20

#: The next child is forked ahead when nothing was wanted for so long: copying a large process takes a core, which the
#: child that has just begun needs more. In milliseconds.
SPARE_DELAY_MS = 30

#: Functions that set how many threads OpenBLAS uses, found before the fork: the search is slower than the calls.
_pools: List[Callable[[int], Any]] = []


class _Spare(NamedTuple):
    """A child forked ahead; it waits on its end of `sock` for who it is to be."""

    pid: int
    sock: socket.socket


def main() -> NoReturn:
    """Imports, then serves forks until the plane is gone."""
    plane = socket.socket(fileno=int(os.environ.pop("ZEROIDLE_ZYGOTE_FD")))
    plane.set_inheritable(False)
    with open(os.environ.pop("ZEROIDLE_ZYGOTE_LIST")) as file:
        modules = json.load(file)["modules"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the plane's; it then closes the socket
    imported = _preload(modules)
    reason = unfit()
    if reason:
        _tell(plane, {"unfit": reason})
        os._exit(0)
    _pools[:] = _openblas_setters()
    gc.collect()
    gc.freeze()  # the collector would write to every object's page and so copy it in every child
    _Server(plane).run(imported)


def _preload(modules: List[str]) -> int:
    import importlib

    gc.disable()
    for name in modules:
        if name in sys.modules:
            continue
        try:
            importlib.import_module(name)
        except BaseException as exc:  # what cannot be imported alone is left to the worker
            print("zygote: %s is left to the workers (%s: %s)" % (name, type(exc).__name__, exc), file=sys.stderr)
    gc.enable()
    return len(sys.modules)


def unfit() -> Optional[str]:
    """Why this process must not be forked, as a sentence, or None."""
    threads = os.listdir("/proc/self/task")
    if len(threads) > 1:
        names = sorted({_comm(thread) for thread in threads if thread != str(os.getpid())})
        return "the imports started %d threads (%s), which a fork would lose" % (len(threads) - 1, ", ".join(names))
    for fd in os.listdir("/proc/self/fd"):
        target = ""
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            target = os.readlink("/proc/self/fd/" + fd)
        if target.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri/")):
            return "the imports opened the GPU (%s), which does not survive a fork" % target
    return None


def _comm(thread: str) -> str:
    try:
        with open("/proc/self/task/%s/comm" % thread) as file:
            return file.read().strip()
    except OSError:
        return "ended"


class _Server:
    """Answers the plane's packets and reports the end of children."""

    def __init__(self, plane: socket.socket) -> None:
        self._plane = plane
        self._spare: Optional[_Spare] = None
        self._living: Dict[int, bool] = {}  # pid -> whether its end was told
        # The kernel writes a byte here at each signal, so that poll() wakes.
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def run(self, imported: int) -> NoReturn:
        """Serves until the socket ends."""
        poller = select.poll()
        poller.register(self._plane, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        _tell(self._plane, {"ready": imported})
        self._prefork()
        while True:
            events = dict(poller.poll(None if self._spare is not None else SPARE_DELAY_MS))
            if self._wake_read in events:
                os.read(self._wake_read, 4096)
                self._report_ends()
            if self._plane.fileno() in events and not self._take_packet():
                os._exit(0)
            if self._spare is None and not events:
                self._prefork()

    def _take_packet(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._plane, _MAX_PACKET, 4)
        if not data:
            return False
        packet = json.loads(data)
        if "fork" in packet:
            try:
                self._fork(packet, fds)
            finally:
                for fd in fds:
                    os.close(fd)
        elif "reap" in packet and self._living.pop(packet["reap"], None) is not None:
            os.waitpid(packet["reap"], 0)  # the plane has killed it, so this does not wait for long
        return True

    def _fork(self, packet: Dict[str, Any], fds: List[int]) -> None:
        if self._spare is None:
            self._prefork()
        if self._spare is None:
            _tell(self._plane, {"refused": packet["fork"], "reason": self._refusal})
            return
        spare, self._spare = self._spare, None
        # Told before the child runs, so that the plane knows the number before the child says hello.
        self._living[spare.pid] = False
        _tell(self._plane, {"forked": packet["fork"], "pid": spare.pid})
        with contextlib.suppress(OSError):  # a spare that died is reported like any other worker
            socket.send_fds(spare.sock, [json.dumps(packet).encode()], fds)
        spare.sock.close()

    def _prefork(self) -> None:
        self._refusal = unfit()
        if self._refusal:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_PACKET)
        try:
            pid = os.fork()
        except OSError as exc:  # out of memory or of process numbers
            self._refusal = "the fork failed: %s" % exc
            ours.close()
            theirs.close()
            return
        if pid == 0:
            signal.set_wakeup_fd(-1)
            os.close(self._wake_read)
            os.close(self._wake_write)
            ours.close()
            self._plane.close()
            _become_worker(theirs)
        theirs.close()
        self._spare = _Spare(pid, ours)

    def _report_ends(self) -> None:
        for pid, told in list(self._living.items()):
            if told:
                continue
            try:
                found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self._living.pop(pid)
                continue
            if found is not None:
                self._living[pid] = True
                code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
                _tell(self._plane, {"exited": pid, "code": code})
        if self._spare is not None and os.waitpid(self._spare.pid, os.WNOHANG)[0]:
            self._spare.sock.close()
            self._spare = None


def _nothing(number: int, frame: Any) -> None:
    """A handler must be there for the wake-up descriptor to be written."""


def _tell(plane: socket.socket, packet: Dict[str, Any]) -> None:
    try:
        plane.send(json.dumps(packet).encode())
    except OSError:
        os._exit(0)  # the plane is gone, and the workers know it by their own pipe


def _become_worker(sock: socket.socket) -> NoReturn:
    """In the child: waits to be told who it is, puts its process in order and boots as any worker does."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not select.select([sock], [], [], 0)[0]:  # nobody waits for this child yet
            _restore_pools()
            warm_up()
        data, fds, _, _ = socket.recv_fds(sock, _MAX_PACKET, 4)
        if not data:
            os._exit(0)
        born = time.time()
        packet = json.loads(data)
        os.setsid()
        _take_place(packet, fds)
        sock.close()
        _restore_pools()
        import zeroidle_worker.boot

        zeroidle_worker.boot.main(born=born)
    except BaseException as exc:
        if isinstance(exc, SystemExit) and exc.code in (None, 0):
            os._exit(0)
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def _take_place(packet: Dict[str, Any], fds: List[int]) -> None:
    log, parent = fds[:2]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    os.set_inheritable(parent, True)  # as a spawned worker has it: an exec of the worker keeps it
    os.environ.clear()
    os.environ.update(packet["env"])
    os.environ["ZEROIDLE_PARENT_FD"] = str(parent)
    os.chdir(packet["cwd"])
    sys.argv[1:] = []


def _restore_pools() -> None:
    """Lets numerical libraries use the cores again, and makes random numbers differ between siblings."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(int.from_bytes(os.urandom(4), "little"))
    for set_threads in _pools:
        set_threads(_cores("OPENBLAS_NUM_THREADS"))
    torch = sys.modules.get("torch")
    if torch is not None:  # its generator starts from the same fixed seed in every process: nothing to do
        torch.set_num_threads(_cores("OMP_NUM_THREADS"))


def _cores(variable: str) -> int:
    given = os.environ.get(variable, "")
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))


def _openblas_setters() -> List[Callable[[int], Any]]:
    libraries = set()
    with open("/proc/self/maps") as file:
        for line in file:
            path = line.rstrip().rpartition(" ")[2]
            if "openblas" in os.path.basename(path):
                libraries.add(path)
    if not libraries:
        return []
    import ctypes

    found = []
    for path in libraries:
        library = ctypes.CDLL(path)
        functions = (getattr(library, name, None) for name in _openblas_names())
        found += [function for function in functions if function is not None][:1]
    return found


def _openblas_names() -> Tuple[str, ...]:
    stem = "openblas_set_num_threads"
    return ("scipy_%s64_" % stem, "scipy_" + stem, stem + "64_", stem)
