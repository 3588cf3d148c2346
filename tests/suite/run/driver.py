"""Runs a command on a terminal of its own, as its only session, and plays who sits before it.

driver.py STEPS COMMAND...: STEPS is a JSON list of [what, argument]:
  expect TEXT    waits until the terminal has shown TEXT since the last one
  type TEXT      types it
  resize [R, C]  gives the terminal so many rows and columns
Prints what the terminal was sent, as JSON text of Latin-1, and the exit code (negative: the signal).
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE = 20.0


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main():
    steps, command = json.loads(sys.argv[1]), sys.argv[2:]
    go_read, go_write = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        settings = termios.tcgetattr(0)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSANOW, settings)
        # The terminal has its size before the command begins.
        os.read(go_read, 1)
        os.close(go_read)
        os.close(go_write)
        os.execvp(command[0], command)
    resize(terminal, 33, 121)
    os.write(go_write, b"x")
    shown, seen, end = b"", 0, time.monotonic() + PATIENCE

    def more():
        nonlocal shown
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            sys.exit(f"nothing came after {shown!r}")
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            piece = b""
        shown += piece
        return bool(piece)

    for what, argument in steps:
        if what == "expect":
            text = argument.encode()
            while (found := shown.find(text, seen)) < 0:
                if not more():
                    sys.exit(f"{argument!r} was not in {shown[seen:]!r}")
            seen = found + len(text)
        elif what == "type":
            os.write(terminal, argument.encode())
        elif what == "resize":
            resize(terminal, *argument)
        else:
            sys.exit(f"no step is called {what}")
    while more():
        pass
    _, status = os.waitpid(pid, 0)
    print(json.dumps({"shown": shown.decode("latin-1"), "code": os.waitstatus_to_exitcode(status)}))


main()
