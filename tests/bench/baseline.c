/*
 * The yardstick: a plain loop of signed libcurl PUTs, N at a time, in one thread, that keeps no record. The cost of
 * chunklift is reported as a multiple of this, measured in the same run.
 *
 *   baseline URL FILE PART_BYTES TRANSFERS   sends the parts of a file
 *   baseline URL DIR 0 TRANSFERS             sends each file of a directory as an object
 *
 * Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; authorities of TLS servers: AWS_CA_BUNDLE. Prints: bytes seconds cpu_seconds peak_kib
 */
#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRANSFERS_MAX 256

struct transfer {
    CURL *easy;
    int fd;
    off_t at, end;
};

static const char *url;
static struct curl_slist *headers;

/* The source: one file in parts, or the entries of a directory. */
static int file = -1;
static off_t size, part, next_offset;
static DIR *directory;
static long long total;

static size_t read_body(char *out, size_t item, size_t count, void *arg) {
    struct transfer *t = arg;
    size_t want = item * count;
    if ((off_t)want > t->end - t->at)
        want = (size_t)(t->end - t->at);
    ssize_t n = want ? pread(t->fd, out, want, t->at) : 0;
    if (n < 0)
        return CURL_READFUNC_ABORT;
    t->at += n;
    return (size_t)n;
}

static size_t drop(char *bytes, size_t item, size_t count, void *arg) {
    (void)bytes, (void)arg;
    return item * count;
}

static int next_part(struct transfer *t, char *full, size_t full_size) {
    if (next_offset >= size)
        return 0;
    snprintf(full, full_size, "%s?partNumber=%ld&uploadId=baseline", url, (long)(next_offset / part) + 1);
    t->fd = file;
    t->at = next_offset;
    t->end = next_offset + part < size ? next_offset + part : size;
    next_offset += part;
    return 1;
}

static int next_file(struct transfer *t, char *full, size_t full_size) {
    struct dirent *e;
    struct stat st;
    while ((e = readdir(directory)) && e->d_name[0] == '.')
        ;
    if (!e)
        return 0;
    snprintf(full, full_size, "%s/%s", url, e->d_name);
    t->fd = openat(dirfd(directory), e->d_name, O_RDONLY | O_CLOEXEC);
    if (t->fd < 0 || fstat(t->fd, &st) != 0)
        return -1;
    t->at = 0;
    t->end = st.st_size;
    return 1;
}

/* 1: started. 0: nothing is left. -1: failed. */
static int start(CURLM *multi, struct transfer *t) {
    char full[1024];
    int more = directory ? next_file(t, full, sizeof full) : next_part(t, full, sizeof full);
    if (more <= 0)
        return more;
    if (!t->easy && !(t->easy = curl_easy_init()))
        return -1;
    total += t->end - t->at;
    curl_easy_setopt(t->easy, CURLOPT_URL, full);
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(t->end - t->at));
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, t->end - t->at > 524288 ? 524288L : 65536L);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(t->easy, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
    curl_easy_setopt(t->easy, CURLOPT_USERNAME, getenv("AWS_ACCESS_KEY_ID"));
    curl_easy_setopt(t->easy, CURLOPT_PASSWORD, getenv("AWS_SECRET_ACCESS_KEY"));
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (getenv("AWS_CA_BUNDLE"))
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, getenv("AWS_CA_BUNDLE"));
    return curl_multi_add_handle(multi, t->easy) == CURLM_OK ? 1 : -1;
}

/* 0, or 1 when the transfer failed. */
static int end(CURLM *multi, const CURLMsg *m, struct transfer **t) {
    long status = 0;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)t);
    curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
    if (m->data.result != CURLE_OK || status != 200) {
        fprintf(stderr, "baseline: %s, status %ld\n", curl_easy_strerror(m->data.result), status);
        return 1;
    }
    curl_multi_remove_handle(multi, (*t)->easy);
    if (directory)
        close((*t)->fd);
    return 0;
}

static int run(int count) {
    struct transfer transfers[TRANSFERS_MAX] = {0};
    CURLM *multi = curl_multi_init();
    int running = 0, left, more = 1;
    for (int i = 0; i < count && (more = start(multi, &transfers[i])) > 0; i++)
        running++;
    while (running > 0 && more >= 0) {
        CURLMsg *m;
        struct transfer *t;
        curl_multi_perform(multi, &left);
        while ((m = curl_multi_info_read(multi, &left))) {
            if (end(multi, m, &t))
                return 1;
            running--;
            if (more > 0 && (more = start(multi, t)) > 0)
                running++;
        }
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    return more < 0;
}

int main(int argc, char **argv) {
    struct stat st;
    struct timespec a, b;
    struct rusage usage;
    if (argc != 5 || (file = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0 || fstat(file, &st) != 0)
        return 2;
    url = argv[1];
    size = st.st_size;
    part = atol(argv[3]);
    int count = atoi(argv[4]);
    if (S_ISDIR(st.st_mode))
        directory = fdopendir(file);
    if (count < 1 || count > TRANSFERS_MAX || (!directory && part < 1))
        return 2;
    curl_global_init(CURL_GLOBAL_ALL);
    headers = curl_slist_append(NULL, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    headers = curl_slist_append(headers, "Expect:");
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (run(count))
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &b);
    getrusage(RUSAGE_SELF, &usage);
    printf("%lld %.3f %.3f %ld\n", total, (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
           usage.ru_maxrss);
    curl_slist_free_all(headers);
    return 0;
}
