"""A gate that has been taken over: C code in place of sallyport-gate, under the same filter-free containment."""
import contextlib
import os
import shutil
import subprocess

from . import places
from .broker import Broker

PRELUDE = r"""
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
enum { CHANNEL = 3, INSPECT = 8, LIST = 9, CANCEL = 11, CLAIM = 12 };
static void rest(long nanoseconds) { struct timespec t = {0, nanoseconds}; nanosleep(&t, 0); }
// Until it is taken; ends with the channel.
static void say(const void* bytes, size_t size) {
  while (write(CHANNEL, bytes, size) < 0) {
    if (errno != EAGAIN) _exit(0);
    rest(200000);
  }
}
static unsigned char* put(unsigned char* at, const void* bytes, size_t size) { memcpy(at, bytes, size); return at + size; }
static unsigned char* number(unsigned char* at, uint32_t value) { return put(at, &value, 4); }
static unsigned char* text(unsigned char* at, const char* bytes, size_t size) { return put(number(at, (uint32_t)size), bytes, size); }
static void inspect(uint32_t id, const char* name) {
  unsigned char message[256], *at = number(message, id);
  *at++ = INSPECT;
  at = text(at, name, strlen(name));
  say(message, (size_t)(at - message));
}
static void claim(const char* endpoint, const char* reason, size_t size, uint32_t repeated) {
  unsigned char message[4096], *at = number(message, 0);
  *at++ = CLAIM;
  *at++ = 0;
  *at++ = 0x93, *at++ = 1;
  at = text(at, "GET", 3);
  at = text(at, endpoint, strlen(endpoint));
  at = text(at, "rule", 4);
  at = text(at, reason, size);
  at = number(at, repeated);
  say(message, (size_t)(at - message));
}
int main(void) {
  static char welcome[4096];
  while (read(CHANNEL, welcome, sizeof welcome) < 0) rest(1000000);
"""


@contextlib.contextmanager
def broker_with_gate(docker_socket, body: str):
    """A broker whose gates run `body` after their welcome, and then wait."""
    directory = places.make_directory("programs")
    for name in os.listdir(places.BIN):
        if name.startswith("sallyport"):
            shutil.copy2(places.BIN / name, directory / name, follow_symlinks=False)
    made = directory / "made"
    subprocess.run(["clang-19", "-static", "-O1", "-x", "c", "-o", made, "-"], check=True,
                   input=(PRELUDE + body + "\n  for (;;) pause();\n}\n").encode())
    os.replace(made, directory / "sallyport-gate")
    broker = Broker(docker_socket, start=False)
    broker.programs = directory
    broker.start()
    broker.profile("seat", docker={})
    try:
        yield broker
    finally:
        broker.remove()
        places.remove_directory(directory)
