// loadgen HOST PORT CALLS SECONDS RATE CHANNELS [PTIME_MS]
// Opens CALLS websocket connections that speak the jambonz listen protocol and sends L16 audio in real time:
// one masked binary frame per PTIME_MS and call, each call at its own phase. The sample values count upwards,
// so a receiver can prove that nothing was lost, doubled or reordered: sample k of a call is (k * 7 + call) mod 65536.
// Compiled with -DTLS, it speaks TLS and takes any certificate.
// It prints two lines of JSON: when all calls are up, the CLOCK_MONOTONIC time at which the first frame of the first
// call is due (that of call i is due i / CALLS of a frame later), and at the end what it did.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

// The bytes of one connection. As send and recv, these return -1 with EAGAIN if the call must be repeated.
#ifdef TLS
typedef SSL *stream;

static stream open_stream(int fd) {
  static SSL_CTX *context;
  if (!context) context = SSL_CTX_new(TLS_client_method());
  SSL *tls = SSL_new(context);
  SSL_set_fd(tls, fd);
  return SSL_connect(tls) == 1 ? tls : NULL;
}

static ssize_t result(stream s, int done) {
  if (done > 0) return done;
  int error = SSL_get_error(s, done);
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) errno = EAGAIN;
  return -1;
}

static ssize_t put(stream s, const void *data, size_t n) { return result(s, SSL_write(s, data, n)); }
static ssize_t get(stream s, void *data, size_t n) { return result(s, SSL_read(s, data, n)); }
#else
typedef int stream;

static stream open_stream(int fd) { return fd; }
static ssize_t put(stream s, const void *data, size_t n) { return send(s, data, n, 0); }
static ssize_t get(stream s, void *data, size_t n) { return recv(s, data, n, 0); }
#endif

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// A final, masked frame with one opcode; returns its length.
static size_t frame(uint8_t *out, int opcode, const uint8_t *payload, size_t n) {
  static const uint8_t mask[4] = {0x12, 0x9a, 0x5c, 0xe7};
  size_t h = 0;
  out[h++] = 0x80 | opcode;
  if (n < 126) {
    out[h++] = 0x80 | n;
  } else {
    out[h++] = 0x80 | 126;
    out[h++] = n >> 8;
    out[h++] = n;
  }
  memcpy(out + h, mask, 4);
  h += 4;
  for (size_t i = 0; i < n; i++) out[h + i] = payload[i] ^ mask[i & 3];
  return h + n;
}

struct call {
  int fd;
  stream stream;
  long sent;        // frames
  double due;       // when the next frame is due
  uint32_t sample;  // index of the next sample
  size_t off, len;  // of the frame that is partly written
  uint8_t *buf;
};

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "usage: loadgen HOST PORT CALLS SECONDS RATE CHANNELS [PTIME_MS]\n");
    return 2;
  }
  const char *host = argv[1];
  int port = atoi(argv[2]), n = atoi(argv[3]), rate = atoi(argv[5]), channels = atoi(argv[6]);
  double seconds = atof(argv[4]);
  int ptime = argc > 7 ? atoi(argv[7]) : 20;
  size_t samples = (size_t)rate * channels * ptime / 1000, bytes = samples * 2;
  signal(SIGPIPE, SIG_IGN);
  struct rlimit rl = {n + 100, n + 100};
  setrlimit(RLIMIT_NOFILE, &rl);
  int16_t *pcm = malloc(bytes);
  struct call *calls = calloc(n, sizeof *calls);
  for (int i = 0; i < n; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    if (connect(fd, (void *)&a, sizeof a)) return perror("connect"), 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    stream stream = open_stream(fd);
    if (!stream) return fprintf(stderr, "call %d: the TLS handshake failed\n", i), 1;
    char text[1024];
    int len = snprintf(text, sizeof text,
                       "GET /calls HTTP/1.1\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nHost: %s\r\n"
                       "Origin: http://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: audio.jambonz.org\r\n"
                       "Sec-WebSocket-Version: 13\r\n\r\n", host, host);
    if (put(stream, text, len) != len) return perror("write"), 1;
    int got = 0;
    do {
      int r = get(stream, text + got, sizeof text - 1 - got);
      if (r <= 0) return fprintf(stderr, "call %d: closed during the handshake\n", i), 1;
      text[got += r] = 0;
    } while (!strstr(text, "\r\n\r\n"));
    if (!strstr(text, " 101 ")) return fprintf(stderr, "call %d: %s\n", i, text), 1;
    uint8_t meta[700];
    len = snprintf(text, sizeof text,
                   "{\"sampleRate\":%d,\"mixType\":\"%s\",\"callSid\":\"load-%05d\",\"direction\":\"inbound\","
                   "\"from\":\"+15085551212\",\"to\":\"+15085551213\",\"callId\":\"load-%05d@example.com\","
                   "\"sipStatus\":200,\"sipReason\":\"OK\",\"callStatus\":\"in-progress\",\"accountSid\":\"load\"}",
                   rate, channels == 2 ? "stereo" : "mono", i, i);
    size_t ml = frame(meta, 1, (uint8_t *)text, len);
    if (put(stream, meta, ml) != (ssize_t)ml) return perror("write"), 1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    calls[i] = (struct call){.fd = fd, .stream = stream, .buf = malloc(bytes + 16)};
  }
  double t0 = now(), step = ptime / 1000.0, late = 0;
  long total = (long)(seconds * 1000 / ptime), left = (long)n * total, blocked = 0;
  for (int i = 0; i < n; i++) calls[i].due = t0 + step * i / n;
  printf("{\"start\":%.6f}\n", t0);
  fflush(stdout);
  while (left > 0) {
    double t = now();
    for (int i = 0; i < n; i++) {
      struct call *c = calls + i;
      while (c->sent < total && c->due <= t) {
        if (t - c->due > late) late = t - c->due;
        if (!c->len) {
          for (size_t k = 0; k < samples; k++) pcm[k] = (int16_t)((c->sample + k) * 7 + i);
          c->len = frame(c->buf, 2, (uint8_t *)pcm, bytes);
          c->off = 0;
        }
        ssize_t w = put(c->stream, c->buf + c->off, c->len - c->off);
        if (w < 0 && errno != EAGAIN) return fprintf(stderr, "call %d: %s\n", i, strerror(errno)), 1;
        if (w > 0) c->off += w;
        if (c->off < c->len) { blocked++; break; }
        c->len = 0;
        c->sample += samples;
        c->sent++;
        left--;
        c->due += step;
      }
    }
    usleep(1000);
  }
  double t1 = now();
  uint8_t bye[16], code[2] = {3, 232};
  size_t bl = frame(bye, 8, code, 2);
  for (int i = 0; i < n; i++) {
    struct timeval tv = {2, 0};
    fcntl(calls[i].fd, F_SETFL, 0);
    setsockopt(calls[i].fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    put(calls[i].stream, bye, bl);
  }
  int unclean = 0;
  for (int i = 0; i < n; i++) {
    char b[4096];
    ssize_t r;
    while ((r = get(calls[i].stream, b, sizeof b)) > 0) {}
    if (r < 0) unclean++;
    close(calls[i].fd);
  }
  printf("{\"calls\":%d,\"frames\":%ld,\"bytes_per_call\":%ld,\"seconds\":%.3f,\"blocked\":%ld,\"max_late_ms\":%.0f,"
         "\"close_seconds\":%.2f,\"unclean_closes\":%d}\n",
         n, (long)n * total, (long)(total * bytes), t1 - t0, blocked, late * 1000, now() - t1, unclean);
  return 0;
}
