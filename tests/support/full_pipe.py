"""A pipe in which there is no room, for those who must not wait for it."""
import contextlib
import os


@contextlib.contextmanager
def full_pipe():
    """Its write end, blocking, which is the caller's to close; nobody reads until the end."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while os.write(write_end, bytes(4096)):
            pass
    except BlockingIOError:
        os.set_blocking(write_end, True)
    try:
        yield write_end
    finally:
        os.close(read_end)
