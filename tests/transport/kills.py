"""Kill a process again and again until what it does is complete: `python kills.py upload|ingest FOLDER KILLS SEED`.

The children are forked before anything of the store is opened; each is killed at a random moment of its work.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path


def killed_until_done(work: Callable[[], None], kills: int, seed: int, longest: float) -> int:
    """Run `work` in children; kill so many of them, and let the next one finish. Returns how many were killed."""
    chance, killed = random.Random(seed), 0
    for _ in range(20 * kills):
        if killed == kills:
            break
        child = os.fork()
        if not child:
            try:
                work()
            except BaseException:
                os._exit(1)
            os._exit(0)
        time.sleep(chance.random() * longest)
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    work()
    return killed


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from sites import file_server

    from dkjax.transport.signature import load_or_make_key
    from dkjax.transport.upload import upload

    what, folder, kills, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    server = file_server(folder)
    if what == "upload":
        (ticket,) = server.keys.tickets().values()
        key = load_or_make_key(folder / "sites" / f"{ticket.client}.key")
        path = server.data_set(ticket.client)

        def work() -> None:
            # Slower than the disk, so that a kill finds it at work.
            upload(path, ticket, key, threads=3, bytes_per_second=200_000)

    else:

        def work() -> None:
            server.take()

    longest = float(sys.argv[5])
    print(killed_until_done(work, kills, seed, longest))


if __name__ == "__main__":
    main()
