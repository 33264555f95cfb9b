/*
 * A wire with a length: carries the frames of hosts (network namespaces) to a bridge and back, each a given time after
 * it came. The kernels that tests run on often have no netem.
 *
 *     delay MICROSECONDS BRIDGE_NS NAME=HOST_NS…
 *
 * Makes two TAP devices for each host: eth0 in its namespace, NAME in that of the bridge; prints "ready" and carries
 * until its standard input ends. A number read there is the new delay. Frames keep their order. With the kernel's
 * offloads one read brings up to 64 KiB of a TCP stream, so one thread is enough for some Gbit/s.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX 64
#define FRAME_MAX (65536 + 64)
#define READS_A_TURN 32
#define WAITING_MAX ((size_t)64 << 20) /* bytes on one way; more are lost, as in any router */

struct frame {
    struct frame *next;
    uint64_t due_ns;
    size_t len;
    unsigned char data[];
};

/* One direction of one wire. */
struct way {
    int from, to;
    struct frame *first, *last;
    size_t waiting; /* bytes */
};

static struct way ways[2 * HOSTS_MAX];
static size_t way_count;
static uint64_t delay_ns;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int make_tap(const char *ns, const char *name) {
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int header = sizeof(struct virtio_net_hdr);
    int nsfd = open(ns, O_RDONLY | O_CLOEXEC);
    if (nsfd < 0 || setns(nsfd, CLONE_NEWNET) != 0)
        die(ns);
    close(nsfd);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) != 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) != 0 ||
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
        die(name);
    return fd;
}

static void add_wire(const char *bridge_ns, char *host) {
    char *ns = strchr(host, '=');
    if (!ns || way_count + 2 > sizeof ways / sizeof ways[0]) {
        fprintf(stderr, "delay: %s: not NAME=NAMESPACE, or too many\n", host);
        exit(2);
    }
    *ns++ = '\0';
    int there = make_tap(ns, "eth0"), here = make_tap(bridge_ns, host);
    ways[way_count++] = (struct way){.from = there, .to = here};
    ways[way_count++] = (struct way){.from = here, .to = there};
}

static void append(struct way *w, const unsigned char *data, size_t len, uint64_t due_ns) {
    struct frame *f = w->waiting + len > WAITING_MAX ? NULL : malloc(sizeof *f + len);
    if (!f)
        return;
    f->next = NULL;
    f->len = len;
    f->due_ns =
        w->last && w->last->due_ns > due_ns ? w->last->due_ns : due_ns; /* in order, also when the delay shrinks */
    memcpy(f->data, data, len);
    *(w->last ? &w->last->next : &w->first) = f;
    w->last = f;
    w->waiting += len;
}

static void take(struct way *w) {
    static unsigned char data[FRAME_MAX];
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = read(w->from, data, sizeof data);
        if (n <= 0)
            return;
        append(w, data, (size_t)n, now_ns() + delay_ns);
    }
}

/* Returns when the next one is due; UINT64_MAX: none waits. */
static uint64_t deliver(struct way *w) {
    while (w->first && w->first->due_ns <= now_ns()) {
        struct frame *f = w->first;
        /* not taken: the device is down, or its queue is full: lost */
        ssize_t n = write(w->to, f->data, f->len);
        (void)n;
        w->waiting -= f->len;
        w->first = f->next;
        if (!w->first)
            w->last = NULL;
        free(f);
    }
    return w->first ? w->first->due_ns : UINT64_MAX;
}

/* False when the wires are no longer needed. */
static bool read_command(void) {
    char text[64];
    ssize_t n = read(STDIN_FILENO, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    delay_ns = strtoull(text, NULL, 10) * 1000;
    return true;
}

static void carry(void) {
    struct pollfd fds[2 * HOSTS_MAX + 1];
    for (;;) {
        uint64_t due_ns = UINT64_MAX;
        for (size_t i = 0; i < way_count; i++) {
            uint64_t next_ns = deliver(&ways[i]);
            due_ns = next_ns < due_ns ? next_ns : due_ns;
            fds[i] = (struct pollfd){.fd = ways[i].from, .events = POLLIN};
        }
        fds[way_count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        uint64_t now = now_ns(), wait_ns = due_ns > now ? due_ns - now : 0;
        struct timespec t = {.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
        if (ppoll(fds, way_count + 1, due_ns == UINT64_MAX ? NULL : &t, NULL) < 0 && errno != EINTR)
            die("poll");
        for (size_t i = 0; i < way_count; i++)
            if (fds[i].revents & POLLIN)
                take(&ways[i]);
        if (fds[way_count].revents && !read_command())
            return;
    }
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: delay MICROSECONDS BRIDGE_NS NAME=HOST_NS…\n");
        return 2;
    }
    delay_ns = strtoull(argv[1], NULL, 10) * 1000;
    for (int i = 3; i < argc; i++)
        add_wire(argv[2], argv[i]);
    printf("ready\n");
    fflush(stdout);
    carry();
    return 0;
}
