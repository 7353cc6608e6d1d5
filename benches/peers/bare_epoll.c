/* The limit: one thread, epoll, a frame built once per tick, a bare send() to every connection.
 *
 *   bare_epoll PORT RATE FRAME_BYTES HOLD
 *
 * FRAME_BYTES is the payload of a frame; it begins as JSON with the time and is filled up. No
 * buffering, no second try: what a connection does not take at once it does not get.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 200000, REQUEST = 4096 };

static char *requests[MOST]; /* what came of an upgrade so far, by descriptor */
static int lengths[MOST];
static int viewers[MOST]; /* the upgraded, dense */
static int places[MOST];  /* where in `viewers` a descriptor is, plus one */
static int count;

/* -- SHA-1 (FIPS 180-4) and base64, for the upgrade */

static uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const unsigned char *text, size_t size, unsigned char out[20]) {
    unsigned char padded[192] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    size_t total = (size + 9 + 63) / 64 * 64;
    memcpy(padded, text, size);
    padded[size] = 0x80;
    for (int i = 0; i < 8; i++) padded[total - 1 - i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    for (size_t at = 0; at < total; at += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)padded[at + 4 * i] << 24 | (uint32_t)padded[at + 4 * i + 1] << 16 |
                   (uint32_t)padded[at + 4 * i + 2] << 8 | padded[at + 4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d
                                                     : (b & c) | (b & d) | (c & d);
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t next = rol(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rol(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const unsigned char in[21], char out[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)in[3 * i] << 16 | (uint32_t)in[3 * i + 1] << 8 | in[3 * i + 2];
        for (int k = 0; k < 4; k++) out[4 * i + k] = digits[three >> (18 - 6 * k) & 63];
    }
    out[27] = '=', out[28] = 0;
}

/* -- frames */

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000LL + (now.tv_nsec + 500000) / 1000000;
}

/* Build a text frame with the time, filled up to `size`; return its length. */
static size_t build(char *frame, size_t size) {
    char text[64];
    size_t head = size < 126 ? 2 : size < 65536 ? 4 : 10;
    int length = snprintf(text, sizeof text, "{\"at\":%lld", now_ms());
    if (size < (size_t)length + 1) size = (size_t)length + 1;
    frame[0] = (char)0x81;
    if (head == 2) frame[1] = (char)size;
    else if (head == 4) frame[1] = 126, frame[2] = (char)(size >> 8), frame[3] = (char)size;
    else for (int i = frame[1] = 127, k = 0; k < 8 && i; k++) frame[2 + k] = (char)(size >> 8 * (7 - k));
    char *body = frame + head;
    memcpy(body, text, (size_t)length);
    memset(body + length, ' ', size - (size_t)length - 1);
    body[size - 1] = '}';
    return head + size;
}

/* -- connections */

static void leave(int fd) {
    free(requests[fd]);
    requests[fd] = NULL, lengths[fd] = 0;
    if (places[fd]) {
        int last = viewers[--count];
        viewers[places[fd] - 1] = last, places[last] = places[fd], places[fd] = 0;
    }
    close(fd);
}

static void upgrade(int fd, const char *request) {
    const char *key = strcasestr(request, "\r\nsec-websocket-key:");
    char text[128], accept[29], answer[256], welcome[64];
    unsigned char digest[21] = {0};
    int length;
    if (!key) { leave(fd); return; }
    key += 20;
    while (*key == ' ') key++;
    length = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1((const unsigned char *)text, (size_t)length, digest);
    base64(digest, accept);
    length = snprintf(answer, sizeof answer,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    send(fd, answer, (size_t)length, MSG_NOSIGNAL);
    send(fd, welcome, build(welcome, 30), MSG_NOSIGNAL);
    viewers[count++] = fd, places[fd] = count;
}

static void receive(int fd) {
    char bin[REQUEST];
    ssize_t got;
    if (places[fd]) { /* whatever a viewer says */
        got = recv(fd, bin, sizeof bin, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) leave(fd);
        return;
    }
    if (!requests[fd]) requests[fd] = malloc(REQUEST);
    got = recv(fd, requests[fd] + lengths[fd], (size_t)(REQUEST - 1 - lengths[fd]), 0);
    if (got <= 0) { if (got == 0 || errno != EAGAIN) leave(fd); return; }
    lengths[fd] += (int)got;
    requests[fd][lengths[fd]] = 0;
    if (strstr(requests[fd], "\r\n\r\n")) {
        char *request = requests[fd];
        requests[fd] = NULL;
        upgrade(fd, request);
        free(request);
    } else if (lengths[fd] == REQUEST - 1) leave(fd);
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: bare_epoll PORT RATE FRAME_BYTES HOLD\n"); return 2; }
    int port = atoi(argv[1]), hold = atoi(argv[4]), one = 1;
    double rate = atof(argv[2]);
    size_t size = (size_t)atol(argv[3]);
    char *frame = malloc(size + 64);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    sigset_t start;
    sigemptyset(&start);
    sigaddset(&start, SIGUSR2);
    sigprocmask(SIG_BLOCK, &start, NULL);
    int signals = signalfd(-1, &start, SFD_NONBLOCK);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    long period = (long)(1e9 / rate);
    struct itimerspec every = {{period / 1000000000L, period % 1000000000L},
                               {period / 1000000000L, period % 1000000000L}};
    if (!hold) timerfd_settime(timer, 0, &every, NULL);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("bare_epoll");
        return 1;
    }
    int poll = epoll_create1(0), own[] = {listener, timer, signals};
    for (int i = 0; i < 3; i++) {
        struct epoll_event want = {.events = EPOLLIN, .data.fd = own[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, own[i], &want);
    }
    for (;;) {
        struct epoll_event events[512];
        int ready = epoll_wait(poll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int viewer;
                while ((viewer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    struct epoll_event want = {.events = EPOLLIN, .data.fd = viewer};
                    if (viewer >= MOST) { close(viewer); continue; }
                    setsockopt(viewer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    epoll_ctl(poll, EPOLL_CTL_ADD, viewer, &want);
                }
            } else if (fd == signals) {
                struct signalfd_siginfo info;
                if (read(signals, &info, sizeof info) > 0) timerfd_settime(timer, 0, &every, NULL);
            } else if (fd == timer) {
                uint64_t times;
                if (read(timer, &times, sizeof times) < 0) continue;
                size_t length = build(frame, size);
                for (int k = 0; k < count; k++)
                    send(viewers[k], frame, length, MSG_NOSIGNAL | MSG_DONTWAIT);
            } else receive(fd);
        }
    }
}
