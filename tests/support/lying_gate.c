// A gate that has been taken over, in place of sallyport-gate: says on its channel what no gate of ours says.
// LIE is given when it is compiled.
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNEL = 3 };

static void send_bytes(const unsigned char* bytes, size_t size) { (void)!write(CHANNEL, bytes, size); }

int main(void) {
  static unsigned char bytes[200 * 1024];
  unsigned char welcome[4096];
  (void)!read(CHANNEL, welcome, sizeof welcome);
#if LIE == 0  // none: waits, as an honest gate without clients does
#elif LIE == 1  // noise
  for (size_t i = 0; i < 1000; ++i) bytes[i] = (unsigned char)(i * 31 + 7);
  send_bytes(bytes, 1000);
#elif LIE == 2  // one datagram, larger than any message
  memset(bytes, 1, sizeof bytes);
  int size = 512 * 1024;
  setsockopt(CHANNEL, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  send_bytes(bytes, 161 * 1024 + 1);
#elif LIE == 3  // an unknown message: envelope id 1, alternative 200
  bytes[0] = 1;
  bytes[4] = 200;
  send_bytes(bytes, 5);
#elif LIE == 4  // the same request id twice in flight: ListContainers (alternative 9); in one datagram, or the first may be answered
  memcpy(bytes, "\x01\0\0\0\x09\x01\x01\0\0\0\x09\x01", 12);
  send_bytes(bytes, 12);
#elif LIE == 5  // a name that no grammar takes
  memcpy(bytes, "\x01\0\0\0\x01\x05\0\0\0../..", 14);
  send_bytes(bytes, 14);
#elif LIE == 6  // bytes after the message: ListContainers and more
  memcpy(bytes, "\x01\0\0\0\x09\0\x7f", 7);
  send_bytes(bytes, 7);
#elif LIE == 7  // ends
  return 0;
#elif LIE == 8  // crashes
  abort();
#elif LIE == 9  // never reads and asks for ever
  memcpy(bytes, "\x00\0\0\0\x09\x01", 6);
  for (unsigned i = 0;; ++i) {
    memcpy(bytes, &i, 4);
    if (write(CHANNEL, bytes, 6) < 0) break;
  }
#endif
  for (;;) pause();
}
