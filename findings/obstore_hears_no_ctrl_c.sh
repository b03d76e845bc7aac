#!/usr/bin/env bash
# obstore 0.12.1: a synchronous call keeps the interpreter's main thread inside the library, so Ctrl-C (SIGINT) is heard
# only when the call returns. A store that accepts the connection and does not answer holds the process for the whole
# time-out, 30 s by default and for each retry. In another thread, with the main thread waiting for its result, the same
# call leaves the process interruptible at once.
#
# Seen: "direct: interrupted after 5.6 s" (with a time-out of 6 s) and "in a thread: interrupted after 0.1 s".
# Fails if a direct call is interrupted early, or the one in a thread is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "obstore==0.12.1"
cat > "$folder/call.py" << 'END'
import sys
import threading

import obstore
from obstore.store import S3Store

store = S3Store(
    "bucket",
    config={"endpoint": sys.argv[2], "region": "us-east-1", "skip_signature": "true"},
    client_options={"allow_http": True, "timeout": "6s"},
    retry_config={"max_retries": 0},
)
answers = []


def call():
    try:
        obstore.get(store, "object")
    except Exception as error:
        answers.append(error)


print("calling", flush=True)
if sys.argv[1] == "direct":
    call()
else:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join()
END
cat > "$folder/check.py" << 'END'
import importlib.metadata
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

seconds = {}
for how in ("direct", "in a thread"):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        command = [sys.executable, Path(__file__).with_name("call.py"), how, f"http://127.0.0.1:{deaf.getsockname()[1]}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            connection, _ = deaf.accept()
            time.sleep(0.5)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.wait(60)
            seconds[how] = time.monotonic() - began
            connection.close()
print("obstore", importlib.metadata.version("obstore"))
for how, took in seconds.items():
    print(f"{how}: interrupted after {took:.1f} s")
sys.exit(not (seconds["direct"] > 3 and seconds["in a thread"] < 2))
END
"$folder/venv/bin/python" "$folder/check.py"
