"""Runs a function in a forked child under another identity, or in namespaces, and brings its result back."""
import json
import os
import traceback


def forked(function, uid=None, gids=(), prepare=None):
    """function() -> JSON value; `prepare` runs first in the child, as root."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            if prepare:
                prepare()
            if uid is not None:
                os.setgroups(list(gids))
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            answer = {"value": function()}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}", "errno": getattr(error, "errno", None), "trace": traceback.format_exc()}
        os.write(write_end, json.dumps(answer).encode())
        os._exit(0)
    os.close(write_end)
    data = b""
    while part := os.read(read_end, 65536):
        data += part
    os.close(read_end)
    os.waitpid(pid, 0)
    return json.loads(data)
