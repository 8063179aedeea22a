// A small MCP server for tests: polite unless told otherwise by a switch, and without any code of the library under test.
//
//   --era legacy|modern|dual   what it answers (default dual)
//   --ignore-eof               goes on after the end of input
//   --ignore-term              goes on after SIGTERM
//   --exit-on-probe            exits when asked server/discover
//   --mute                     reads, and never answers
//   --silent-probe             does not answer server/discover
//   --exit N                   writes three lines to standard error and exits at once
//   --helper inherit|null      starts a child in its process group that ignores the end of input
//   --wrapper                  the server is a child of this process, as with `sh -c` or npx
//   --banner                   writes a line that is no message first
//   --stderr BYTES             writes so much to standard error before answering anything
//   --revision R               the revision that `initialize` is answered with
//
// Tools: echo (text), hang (never answered), exit (N), pid, big (N bytes), close-output, twice (answers two times), progress.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *era = "dual", *revision = NULL;
static int ignore_eof, exit_on_probe, mute, silent_probe;

static void reply(const char *id, int length, const char *body) {
    printf("{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s}\n", length, id, body);
    fflush(stdout);
}

/// The raw text of a member's value, which is a string or a number: enough for what the host sends.
static const char *member(const char *line, const char *name, int *length) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *start = strstr(line, pattern);
    if (!start) return NULL;
    start += strlen(pattern);
    const char *end = start;
    if (*end == '"') {
        end++;
        while (*end && (*end != '"' || end[-1] == '\\')) end++;
        end++;
    } else {
        while (*end && *end != ',' && *end != '}') end++;
    }
    *length = (int)(end - start);
    return start;
}

static int is(const char *value, int length, const char *text) {
    return value && length == (int)strlen(text) + 2 && !strncmp(value + 1, text, strlen(text));
}

static void text_result(const char *id, int id_length, const char *text, int length) {
    printf("{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":%.*s}]}}\n",
           id_length, id, length, text);
    fflush(stdout);
}

static void call(const char *line, const char *id, int id_length) {
    int name_length = 0, text_length = 0, n_length = 0;
    const char *name = member(line, "name", &name_length);
    const char *text = member(line, "text", &text_length);
    const char *n = member(line, "n", &n_length);
    if (is(name, name_length, "echo")) {
        text_result(id, id_length, text ? text : "\"\"", text ? text_length : 2);
    } else if (is(name, name_length, "twice")) {
        text_result(id, id_length, "\"first\"", 7);
        text_result(id, id_length, "\"second\"", 8);
    } else if (is(name, name_length, "pid")) {
        char pid[32];
        int length = snprintf(pid, sizeof pid, "\"%d\"", getpid());
        text_result(id, id_length, pid, length);
    } else if (is(name, name_length, "progress")) {
        for (int i = 1; i <= 3; i++) printf("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%.*s,\"progress\":%d}}\n", id_length, id, i);
        text_result(id, id_length, "\"done\"", 6);
    } else if (is(name, name_length, "big")) {
        long size = n ? atol(n) : 0;
        printf("{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":\"", id_length, id);
        for (long i = 0; i < size; i++) putchar('x');
        printf("\"}]}}\n");
        fflush(stdout);
    } else if (is(name, name_length, "exit")) {
        fprintf(stderr, "asked to exit\n");
        exit(n ? atoi(n) : 0);
    } else if (is(name, name_length, "close-output")) {
        fclose(stdout);
        pause();
    } else if (is(name, name_length, "hang")) {
        // no answer
    } else {
        reply(id, id_length, "\"error\":{\"code\":-32602,\"message\":\"Unknown tool\"}");
    }
}

static void handle(const char *line) {
    int id_length = 0, method_length = 0, asked_length = 0;
    const char *method = member(line, "method", &method_length);
    const char *id = member(line, "id", &id_length);
    if (!method || !id || mute) return;
    int modern = strcmp(era, "legacy") != 0, legacy = strcmp(era, "modern") != 0;
    if (is(method, method_length, "server/discover")) {
        if (exit_on_probe) exit(3);
        if (silent_probe) return;
        if (!modern) return reply(id, id_length, "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}");
        reply(id, id_length,
              "\"result\":{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},"
              "\"ttlMs\":0,\"cacheScope\":\"private\"}");
    } else if (is(method, method_length, "initialize") && legacy) {
        const char *asked = member(line, "protocolVersion", &asked_length);
        char body[512];
        snprintf(body, sizeof body,
                 "\"result\":{\"protocolVersion\":%.*s,\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"scripted\",\"version\":\"1\"}}",
                 revision ? (int)strlen(revision) : asked_length, revision ? revision : asked);
        reply(id, id_length, body);
    } else if (is(method, method_length, "tools/list")) {
        reply(id, id_length, "\"result\":{\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}");
    } else if (is(method, method_length, "ping") && legacy) {
        reply(id, id_length, "\"result\":{}");
    } else if (is(method, method_length, "tools/call")) {
        call(line, id, id_length);
    } else {
        reply(id, id_length, "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}");
    }
}

static void start_helper(const char *how) {
    if (fork() != 0) return;
    if (!strcmp(how, "null")) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    }
    for (;;) pause();
}

int main(int argc, char **argv) {
    int wrapper = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--era")) era = value;
        else if (!strcmp(argv[i], "--revision")) revision = value;
        else if (!strcmp(argv[i], "--ignore-eof")) ignore_eof = 1;
        else if (!strcmp(argv[i], "--ignore-term")) signal(SIGTERM, SIG_IGN);
        else if (!strcmp(argv[i], "--exit-on-probe")) exit_on_probe = 1;
        else if (!strcmp(argv[i], "--mute")) mute = 1;
        else if (!strcmp(argv[i], "--silent-probe")) silent_probe = 1;
        else if (!strcmp(argv[i], "--wrapper")) wrapper = 1;
        else if (!strcmp(argv[i], "--helper")) start_helper(value);
        else if (!strcmp(argv[i], "--banner")) puts("listening on stdio"), fflush(stdout);
        else if (!strcmp(argv[i], "--stderr")) for (long n = atol(value); n > 0; n--) fputc('e', stderr);
        else if (!strcmp(argv[i], "--exit")) {
            fprintf(stderr, "first line\nsecond line\nthird line\n");
            return atoi(value);
        }
    }
    if (wrapper) {
        pid_t child = fork();
        if (child != 0) {
            int status;
            close(0);
            close(1);
            waitpid(child, &status, 0);
            return 0;
        }
    }
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) handle(line);
    while (ignore_eof) pause();
    return 0;
}
