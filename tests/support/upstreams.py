"""What a forward leads to."""
import contextlib
import os
import socket
import threading


@contextlib.contextmanager
def one_byte_server(path):
    """Says one byte to whoever comes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(512)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                try:
                    client.sendall(b"x")
                except OSError:
                    pass
    threading.Thread(target=serve, daemon=True).start()
    yield f"unix:{path}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    os.unlink(path)
