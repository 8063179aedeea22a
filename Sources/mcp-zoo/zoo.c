// mcp-zoo: an MCP server that misbehaves on demand, for tests of anybody's host. See `mcp-zoo --list` and README.md.
//
// It knows no more of JSON than a host's requests need, on purpose: nothing of the library under test is in here.
#define _GNU_SOURCE
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
// The leak check at exit would be a misbehaviour that nobody asked for: a helper process, and an exit status of its own.
const char *__asan_default_options(void) { return "detect_leaks=0"; }
#endif
#if __has_feature(thread_sanitizer)
// By default it sleeps for a second before it ends.
const char *__tsan_default_options(void) { return "atexit_sleep_ms=0"; }
#endif
#endif

struct habits habits = {.era = "dual"};

int main(int argc, char **argv) {
    if (argc == 2 && (!strcmp(argv[1], "--list") || !strcmp(argv[1], "--help"))) {
        list_behaviors();
        return 0;
    }
    if (argc > 2 && !strcmp(argv[1], "--without-pidfd")) run_without_pidfd(argv + 2);
    if (argc == 2 && !strcmp(argv[1], "--rest"))
        for (;;) pause();
    int failure = read_switches(argc, argv);
    if (failure) return failure;
    if (habits.log) {
        open_log();
    } else if (habits.ignore_term) {
        signal(SIGTERM, SIG_IGN);
    }
    if (habits.alive) keep_alive_socket();
    note_text("start", "server");
    if (habits.helper) start_helper(habits.helper);
    if (habits.double_fork) start_daemon();
    if (habits.has_chain) start_chain();
#if defined(__linux__)
    if (habits.sibling) start_sibling();
    if (habits.starve_guard) starve_guard();
#endif
    if (habits.tree) start_tree(habits.tree);
    if (habits.wrapper || habits.wrapper_exits) {
        pid_t child = fork();
        if (child != 0) {
            if (habits.wrapper_exits) return 0;
            close(0);
            close(1);
            while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
            return 0;
        }
        note_text("child", "wrapped server");
    }
    if (habits.has_exit) {
        fprintf(stderr, "first line\nsecond line\nthird line\n");
        leave(habits.exit_code);
    }
    if (habits.stderr_bytes > 0) fill_stderr();
    if (habits.banner) out_text("listening on stdio\n");
    if (habits.junk > 0) {
        for (long n = habits.junk; n > 0; n -= 64) out_text("junk junk junk junk junk junk junk junk junk junk junk junk 12345\n");
        for (;;) pause();
    }
    if (habits.endless > 0) {
        char chunk[4096];
        memset(chunk, 'x', sizeof chunk);
        chunk[0] = '{';
        for (long n = habits.endless; n > 0; n -= (long)sizeof chunk) {
            out(chunk, sizeof chunk);
            chunk[0] = 'x';
        }
        out_text("\n");
    }
    if (habits.gate) {
        char byte;
        int fd = open(habits.gate, O_RDONLY | O_CLOEXEC);
        while (fd >= 0 && read(fd, &byte, 1) < 0 && errno == EINTR) {}
        if (fd >= 0) close(fd);
    }
    if (habits.slow_start > 0) pause_ms(habits.slow_start);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t count;
    while ((count = getline(&line, &capacity, stdin)) > 0) {
        if (line[count - 1] == '\n') line[--count] = 0;
        if (habits.reverse > 0) handle_reversed(line, (size_t)count);
        else handle(line, (size_t)count);
    }
    free(line);
    note_text("eof", "");
    if (habits.kill_guard) kill(getppid(), SIGKILL);
#if defined(__linux__)
    if (habits.forge_guard) forge_guard();
#endif
    while (habits.ignore_eof) pause();
    note_text("exit", "0");
    return 0;
}
