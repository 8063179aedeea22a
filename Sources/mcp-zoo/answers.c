// What the zoo does with what a host sends.
#define _GNU_SOURCE
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/// The raw text of a member's value, which is a string or a number: enough for what a host sends.
static const char *member(const char *line, const char *name, int *length) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *start = strstr(line, pattern);
    if (!start) return NULL;
    start += strlen(pattern);
    const char *end = start;
    if (*end == '"') {
        end++;
        while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
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

/// What waits for something else to happen first.
static struct text stashed[512];
static int stashed_count;
static char asked_for[64];
/// Answers to requests for roots that are still to come before the call of `roots` is answered.
static long roots_wanted;
static char late_probe_id[64];

void leave(int code) {
    char text[16];
    snprintf(text, sizeof text, "%d", code);
    note_text("exit", text);
    exit(code);
}

static void call(const char *line, size_t line_length, const char *id, int id_length) {
    int name_length = 0, text_length = 0, n_length = 0;
    const char *name = member(line, "name", &name_length);
    const char *text = member(line, "text", &text_length);
    const char *number = member(line, "n", &n_length);
    long n = number ? atol(number) : 0;
    char scratch[256];
#define TOOL(word) is(name, name_length, word)
    if (habits.no_newline || habits.half_frame) {
        struct text message = {0};
        addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"resultType\":\"complete\",\"content\":[]}}", id_length, id);
        out(message.bytes, habits.half_frame ? message.count / 2 : message.count);
        leave(0);
    }
    if (habits.deep > 0) {
        struct text body = {0};
        addf(&body, "\"result\":");
        for (int i = 0; i < habits.deep; i++) add(&body, "[", 1);
        for (int i = 0; i < habits.deep; i++) add(&body, "]", 1);
        respond(id, id_length, body.bytes, body.count);
        free(body.bytes);
        return;
    }
    if (TOOL("echo")) {
        text_result(id, id_length, text ? text : "\"\"", text ? (size_t)text_length : 2);
    } else if (TOOL("length")) {
        snprintf(scratch, sizeof scratch, "%zu %d", line_length, text_length - 2);
        words_result(id, id_length, scratch);
    } else if (TOOL("twice")) {
        text_result(id, id_length, "\"first\"", 7);
        text_result(id, id_length, "\"second\"", 8);
    } else if (TOOL("pid")) {
        snprintf(scratch, sizeof scratch, "%d", getpid());
        words_result(id, id_length, scratch);
    } else if (TOOL("progress") || TOOL("flood")) {
        struct text message = {0};
        for (long i = 1; i <= (n > 0 ? n : 3); i++) {
            message.count = 0;
            addf(&message, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%.*s,\"progress\":%ld}}", id_length, id, i);
            deliver(&message);
        }
        free(message.bytes);
        text_result(id, id_length, "\"done\"", 6);
    } else if (TOOL("big")) {
        x_result(id, id_length, n);
    } else if (TOOL("say-and-exit")) {
        x_result(id, id_length, n);
        leave(0);
    } else if (TOOL("exit")) {
        fprintf(stderr, "asked to exit\n");
        leave((int)n);
    } else if (TOOL("kill")) {
        raise(SIGKILL);
    } else if (TOOL("close-output")) {
        close(1);
        for (;;) pause();
    } else if (TOOL("close-input")) {
        text_result(id, id_length, "\"closed\"", 8);
        close(0);
        for (;;) pause();
    } else if (TOOL("stop-reading")) {
        text_result(id, id_length, "\"stopped\"", 9);
        for (;;) pause();
    } else if (TOOL("stop-self")) {
        // The answer comes after the signal: whoever reads it and sends SIGCONT is not too early.
        if (fork() == 0) {
            kill(getppid(), SIGSTOP);
            text_result(id, id_length, "\"stopping\"", 10);
            _exit(0);
        }
    } else if (TOOL("stop-guard")) {
        text_result(id, id_length, "\"stopped\"", 9);
        kill(getppid(), SIGSTOP);
    } else if (TOOL("kill-guard")) {
        kill(getppid(), SIGKILL);
    } else if (TOOL("roots")) {
        struct text message = {0};
        for (long i = 0; i < n; i++) {
            message.count = 0;
            addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":\"root-%ld\",\"method\":\"roots/list\"}", i);
            deliver(&message);
        }
        free(message.bytes);
        roots_wanted = n;
        snprintf(asked_for, sizeof asked_for, "%.*s", id_length, id);
    } else if (TOOL("hang")) {
        // no answer
    } else if (TOOL("nap")) {
        pause_ms(n > 0 ? n : 50);
        text_result(id, id_length, "\"awake\"", 7);
    } else if (TOOL("later")) {
        // answered just before the next request is
        addf(&stashed[stashed_count++ % 512], "%.*s", id_length, id);
    } else if (TOOL("order")) {
        note("executed", text ? text : "", text ? (size_t)text_length : 0);
        leave(9);
    } else if (TOOL("once")) {
        note_text("executed", "once");
        int file = habits.state ? open(habits.state, O_WRONLY | O_CREAT | O_EXCL, 0600) : -1;
        if (file >= 0) leave(9);
        text_result(id, id_length, "\"second time\"", 13);
    } else if (TOOL("ask")) {
        snprintf(asked_for, sizeof asked_for, "%.*s", id_length, id);
        struct text message = {0};
        addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":\"asked\",\"method\":%.*s,\"params\":{}}", text_length, text);
        deliver(&message);
        free(message.bytes);
    } else if (TOOL("environment")) {
        struct text names = {0};
        for (char **entry = environ; *entry; entry++) addf(&names, "%.*s\n", (int)strcspn(*entry, "="), *entry);
        words_result(id, id_length, names.bytes ? names.bytes : "");
        free(names.bytes);
    } else if (TOOL("descriptors")) {
        struct text list = {0};
        for (int fd = 0; fd < 256; fd++)
            if (fcntl(fd, F_GETFD) >= 0) addf(&list, "%d ", fd);
        words_result(id, id_length, list.bytes);
        free(list.bytes);
    } else if (TOOL("surrogate")) {
        text_result(id, id_length, "\"a\\ud83db\"", 10);
    } else if (TOOL("separators")) {
        const char *odd = "\"a\xC2\x85\xE2\x80\xA8\xE2\x80\xA9\\u000b\\fb\"";
        text_result(id, id_length, odd, strlen(odd));
    } else if (TOOL("numbers")) {
        reply(id, id_length, "\"result\":{\"resultType\":\"complete\",\"content\":[],\"structuredContent\":{\"a\":9007199254740993,\"b\":1e400,\"c\":-0,\"d\":1E5,\"e\":9223372036854775807}}");
    } else if (TOOL("duplicate-key")) {
        struct text message = {0};
        addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":999999,\"id\":%.*s,\"result\":{\"resultType\":\"complete\",\"content\":[]}}", id_length, id);
        deliver(&message);
        free(message.bytes);
    } else if (TOOL("malformed")) {
        static const char *const bodies[] = {
            "\"result\":", "\"result\":{}},", "\"error\":5", "\"error\":{}", "\"error\":{\"code\":\"x\",\"message\":5}", "\"error\":null",
            "\"result\":{\"resultType\":\"complete\",\"content\":5}", "\"result\":[]", "\"result\":null", "\"result\":\"text\"", "\"result\":{},\"error\":{\"code\":1,\"message\":\"both\"}",
            "\"result\":{\"content\":[{\"type\":5}]}", "\"result\":{\"content\":[{}]}", "\"result\":{\"content\":[null]}", "\"error\":{\"code\":1.5,\"message\":\"x\"}",
            "\"error\":{\"code\":-32603}", "\"error\":{\"message\":\"no code\"}", "\"error\":[]", "\"error\":\"text\"", "\"nothing\":1"};
        reply(id, id_length, bodies[(size_t)n % (sizeof bodies / sizeof *bodies)]);
    } else {
        reply(id, id_length, "\"error\":{\"code\":-32602,\"message\":\"Unknown tool\"}");
    }
}

static void list_tools(const char *line, const char *id, int id_length) {
    int cursor_length = 0;
    const char *cursor = member(line, "cursor", &cursor_length);
    static int page;
    struct text body = {0};
    addf(&body, "\"result\":{\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}");
    if (habits.state) addf(&body, ",{\"name\":\"once\",\"inputSchema\":{\"type\":\"object\"}%s}", habits.read_only ? ",\"annotations\":{\"readOnlyHint\":true}" : "");
    if (habits.odd_names) {
        static const char *const names[] = {"__proto__", "constructor", "", "\xF0\x9F\xA6\x93", "\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7", "a\\u001b[2Jb", "a b/c"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) addf(&body, ",{\"name\":\"%s\",\"inputSchema\":{\"type\":\"object\"}}", names[i]);
        addf(&body, ",{\"name\":\"");
        for (int i = 0; i < 10240; i++) add(&body, "n", 1);
        addf(&body, "\",\"inputSchema\":{\"type\":\"object\"}}");
    }
    addf(&body, "]");
    if (habits.cursor && !strcmp(habits.cursor, "loop")) addf(&body, ",\"nextCursor\":\"again\"");
    if (habits.cursor && !strcmp(habits.cursor, "new")) addf(&body, ",\"nextCursor\":\"page-%d\"", ++page);
    if (habits.cursor && !strcmp(habits.cursor, "empty") && !cursor) addf(&body, ",\"nextCursor\":\"\"");
    addf(&body, "}");
    respond(id, id_length, body.bytes, body.count);
    free(body.bytes);
}

static void probed(const char *id, int id_length) {
    for (long n = habits.probe_stderr; n > 0; n--) fputc(n % 100 ? 'p' : '\n', stderr);
    if (habits.exit_on_probe) leave(3);
    if (habits.silent_probe) return;
    if (habits.late_probe) {
        snprintf(late_probe_id, sizeof late_probe_id, "%.*s", id_length, id);
        return;
    }
    if (habits.garble_probe) return say("{\"jsonrpc\":\"2.0\",\"id\":oops, this is not JSON");
    char refusal[128];
    int code = habits.refuse_probe ? habits.refuse_probe : -32601;
    if (habits.refuse_probe || !strcmp(habits.era, "legacy")) {
        snprintf(refusal, sizeof refusal, "\"error\":{\"code\":%d,\"message\":\"Method not found\"}", code);
        return reply(id, id_length, refusal);
    }
    reply(id, id_length,
          "\"result\":{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":0,\"cacheScope\":\"private\"}");
}

static void initialized(const char *line, const char *id, int id_length) {
    int asked_length = 0;
    const char *asked = member(line, "protocolVersion", &asked_length);
    if (*late_probe_id) {
        reply(late_probe_id, (int)strlen(late_probe_id), "\"result\":{\"resultType\":\"complete\",\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{}}");
        *late_probe_id = 0;
    }
    static const char *const nonsense[] = {
        "\"result\":{\"protocolVersion\":\"1999-01-01\",\"capabilities\":{},\"serverInfo\":{\"name\":\"z\",\"version\":\"1\"}}", "\"result\":{}", "\"result\":[]",
        "\"result\":null", "\"result\":{\"protocolVersion\":5,\"capabilities\":{}}", "\"result\":\"2025-11-25\"",
        "\"error\":{\"code\":-32603,\"message\":\"broken inside\"}", "\"error\":{}", "\"nothing\":true"};
    if (habits.bad_result > 0) return reply(id, id_length, nonsense[(habits.bad_result - 1) % 9]);
    char body[512];
    snprintf(body, sizeof body, "\"result\":{\"protocolVersion\":%.*s,\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"mcp-zoo\",\"version\":\"1\"}}",
             habits.revision ? (int)strlen(habits.revision) : asked_length, habits.revision ? habits.revision : asked);
    reply(id, id_length, body);
}

static void ready(void) {
    if (habits.exit_after_init) leave(0);
    for (int i = 0; i < habits.storm; i++) say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
}

static void early(void) {
    if (!habits.early) return;
    habits.early = 0;
    say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"early\"}}");
    say("{\"jsonrpc\":\"2.0\",\"id\":\"early\",\"method\":\"ping\"}");
    say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
}

void handle(const char *line, size_t length) {
    note("frame", line, length);
    int id_length = 0, method_length = 0;
    const char *method = member(line, "method", &method_length);
    const char *id = member(line, "id", &id_length);
    int modern = strcmp(habits.era, "legacy") != 0, legacy = strcmp(habits.era, "modern") != 0;
    if (!method && is(id, id_length, "asked")) return words_result(asked_for, (int)strlen(asked_for), line);
    if (!method && id && !strncmp(id, "\"root-", 6)) {
        if (--roots_wanted == 0) words_result(asked_for, (int)strlen(asked_for), "all answered");
        return;
    }
    if (is(method, method_length, "notifications/initialized")) return ready();
    if (habits.stop_guard) start_stopper();
    if (!method || !id || habits.mute) return;
    early();
    if (is(method, method_length, "server/discover")) {
        probed(id, id_length);
        if (modern && !habits.silent_probe && !habits.late_probe && !habits.garble_probe && !habits.refuse_probe) ready();
        return;
    }
    if (is(method, method_length, "initialize") && legacy) return initialized(line, id, id_length);
    for (; stashed_count > 0; stashed_count--) {
        struct text *first = &stashed[stashed_count - 1];
        text_result(first->bytes, (int)first->count, "\"late\"", 6);
        first->count = 0;
    }
    if (is(method, method_length, "tools/list")) return list_tools(line, id, id_length);
    if (is(method, method_length, "ping") && legacy) return reply(id, id_length, "\"result\":{}");
    if (is(method, method_length, "tools/call")) return call(line, length, id, id_length);
    reply(id, id_length, "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}");
}

/// Tool calls in groups of N, the last one first.
void handle_reversed(const char *line, size_t length) {
    static struct text group[512];
    static int count;
    if (!strstr(line, "\"tools/call\"")) return handle(line, length);
    group[count].count = 0;
    add(&group[count++], line, length);
    if (count < habits.reverse) return;
    while (count > 0) {
        count--;
        handle(group[count].bytes, group[count].count);
    }
}
