/*
 * Puts every file of the corpora named on the command line through a fuzz target, without libFuzzer; then the file cut
 * short at up to REPLAY_VARIANTS places, and with one bit changed at as many. The inputs of a folder "found" are
 * tried as it is. Which input was being tried is said when the program dies of it.
 */
#include "pure/buf.h"
#include "pure/check.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__ /* it reports a bad access itself, and calls us afterwards */
#include <sanitizer/common_interface_defs.h>
static const int deadly[] = {SIGABRT, SIGTERM};
#else
static const int deadly[] = {SIGABRT, SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
#endif

#ifndef REPLAY_VARIANTS
#define REPLAY_VARIANTS 384
#endif
#define INPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static char trying[2048];
static unsigned long inputs;

/* stdio may be in any state by now. */
static void say_what(void) {
    static const char before[] = "replay: died of ";
    static bool said;
    if (said)
        return;
    said = true;
    struct {
        const char *text;
        size_t len;
    } parts[] = {{before, sizeof before - 1}, {trying, strlen(trying)}, {"\n", 1}};
    for (size_t i = 0; i < 3; i++)
        if (write(STDOUT_FILENO, parts[i].text, parts[i].len) < 0)
            return;
}

static void died(int number) {
    say_what();
    signal(number, SIG_DFL);
    raise(number);
}

/* On the heap and exactly as long as it is, so that a sanitizer sees a byte too many being read. */
static void try_input(const uint8_t *bytes, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);
    CHECK(copy);
    if (len)
        memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    inputs++;
}

static void try_file(const char *path, uint8_t *bytes, size_t len, bool variants) {
    snprintf(trying, sizeof trying, "%s", path);
    try_input(bytes, len);
    if (!variants)
        return;
    size_t step = len / REPLAY_VARIANTS + 1;
    for (size_t cut = 0; cut < len; cut += step) {
        snprintf(trying, sizeof trying, "%s cut to %zu bytes", path, cut);
        try_input(bytes, cut);
    }
    for (size_t at = 0; at < len; at += step) {
        uint8_t bit = (uint8_t)(1u << (at / step % 8));
        snprintf(trying, sizeof trying, "%s with byte %zu changed from 0x%02x to 0x%02x", path, at, bytes[at],
                 bytes[at] ^ bit);
        bytes[at] ^= bit;
        try_input(bytes, len);
        bytes[at] ^= bit;
    }
}

static int replay_file(const char *path, bool variants) {
    static uint8_t bytes[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t len = fread(bytes, 1, sizeof bytes, f);
    bool whole = !ferror(f) && feof(f);
    fclose(f);
    if (!whole) {
        fprintf(stderr, "%s: cannot be read, or longer than %zu bytes\n", path, sizeof bytes);
        return 1;
    }
    try_file(path, bytes, len, variants);
    return 0;
}

static int replay_dir(const char *dir, bool variants) {
    struct dirent **entries;
    int count = scandir(dir, &entries, NULL, alphasort), failed = 0;
    if (count < 0) {
        perror(dir);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char path[1024];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            failed |= replay_file(path, variants);
        else if (variants && strcmp(entries[i]->d_name, "found") == 0)
            failed |= replay_dir(path, false);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        signal(deadly[i], died);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(say_what);
#endif
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay_dir(argv[i], true);
    printf("%lu inputs\n", inputs);
    return failed || inputs == 0;
}
