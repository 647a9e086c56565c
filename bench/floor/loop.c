// The least that serving costs: one thread that accepts, reads and writes, and looks for nothing in a request but its end.
// Usage: loop ADDRESS PORT
//
// A request is taken for whole when it has come in one read. Those of a load generator on the same machine are.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// As many bytes as Serval sends for the hello app.
static const char response[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nDate: Mon, 23 Nov 2026 10:36:09 GMT\r\nContent-Length: 13\r\n\r\nHello, world!";

static void fail(const char *what) {
  fprintf(stderr, "loop: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int listen_at(const char *address, const char *port) {
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  if (inet_pton(AF_INET, address, &place.sin_addr) != 1) fail("not an IPv4 address");
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int on = 1;
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("socket");
  if (bind(listener, (struct sockaddr *)&place, sizeof place) < 0) fail("bind");
  if (listen(listener, 4096) < 0) fail("listen");
  return listener;
}

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

// answer reads once, and answers each blank line.
static void answer(int fd) {
  char request[16384];
  ssize_t n = read(fd, request, sizeof request);
  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) close(fd);
    return;
  }
  for (char *rest = request, *end; (end = memmem(rest, (size_t)(request + n - rest), "\r\n\r\n", 4)); rest = end + 4) {
    if (write(fd, response, sizeof response - 1) < 0) { // a client that is gone; its end of file comes next
      return;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: loop ADDRESS PORT\n");
    return 2;
  }
  int listener = listen_at(argv[1], argv[2]);
  int epoll = epoll_create1(0);
  if (epoll < 0) fail("epoll_create1");
  watch(epoll, listener);
  for (;;) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, -1);
    if (n < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < n; i++) {
      if (events[i].data.fd != listener) {
        answer(events[i].data.fd);
        continue;
      }
      int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
      if (client >= 0) watch(epoll, client);
    }
  }
}
