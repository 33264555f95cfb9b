/*
 * The yardstick: a plain loop of signed libcurl PUTs, N at a time, in one thread, that sends a file's parts to a server
 * and keeps no record. The cost of chunklift is reported as a multiple of this, measured in the same run. baseline URL FILE
 * PART_BYTES TRANSFERS      (credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) Prints: bytes seconds cpu_seconds
 * peak_kib
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRANSFERS_MAX 64

struct transfer {
    CURL *easy;
    off_t at, end;
};

static int file;

static size_t read_part(char *out, size_t size, size_t count, void *arg) {
    struct transfer *t = arg;
    size_t want = size * count;
    if ((off_t)want > t->end - t->at)
        want = (size_t)(t->end - t->at);
    ssize_t n = want ? pread(file, out, want, t->at) : 0;
    if (n < 0)
        return CURL_READFUNC_ABORT;
    t->at += n;
    return (size_t)n;
}

static size_t drop(char *bytes, size_t size, size_t count, void *arg) {
    (void)bytes, (void)arg;
    return size * count;
}

static int start(CURLM *multi, struct transfer *t, const char *url, off_t from, off_t size, off_t part,
                 struct curl_slist *headers) {
    char full[1024];
    if (!t->easy && !(t->easy = curl_easy_init()))
        return -1;
    snprintf(full, sizeof full, "%s?partNumber=%ld&uploadId=baseline", url, (long)(from / part) + 1);
    t->at = from;
    t->end = from + part < size ? from + part : size;
    curl_easy_setopt(t->easy, CURLOPT_URL, full);
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, read_part);
    curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(t->end - t->at));
    curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(t->easy, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
    curl_easy_setopt(t->easy, CURLOPT_USERNAME, getenv("AWS_ACCESS_KEY_ID"));
    curl_easy_setopt(t->easy, CURLOPT_PASSWORD, getenv("AWS_SECRET_ACCESS_KEY"));
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    return curl_multi_add_handle(multi, t->easy) == CURLM_OK ? 0 : -1;
}

int main(int argc, char **argv) {
    struct transfer transfers[TRANSFERS_MAX] = {0};
    struct stat st;
    struct timespec a, b;
    struct rusage usage;
    if (argc != 5 || (file = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0 || fstat(file, &st) != 0)
        return 2;
    off_t part = atol(argv[3]), next = 0;
    int count = atoi(argv[4]), running = 0, left;
    if (count < 1 || count > TRANSFERS_MAX || part < 1)
        return 2;
    curl_global_init(CURL_GLOBAL_ALL);
    CURLM *multi = curl_multi_init();
    struct curl_slist *headers = curl_slist_append(NULL, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < count && next < st.st_size; i++, next += part, running++)
        if (start(multi, &transfers[i], argv[1], next, st.st_size, part, headers) != 0)
            return 1;
    while (running > 0) {
        CURLMsg *m;
        curl_multi_perform(multi, &left);
        while ((m = curl_multi_info_read(multi, &left))) {
            struct transfer *t;
            long status = 0;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
            curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
            if (m->data.result != CURLE_OK || status != 200) {
                fprintf(stderr, "baseline: %s, status %ld\n", curl_easy_strerror(m->data.result), status);
                return 1;
            }
            curl_multi_remove_handle(multi, t->easy);
            running--;
            if (next < st.st_size) {
                if (start(multi, t, argv[1], next, st.st_size, part, headers) != 0)
                    return 1;
                next += part;
                running++;
            }
        }
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld %.3f %.3f %ld\n", (long)st.st_size,
           (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6,
           usage.ru_maxrss);
    curl_slist_free_all(headers);
    return 0;
}
