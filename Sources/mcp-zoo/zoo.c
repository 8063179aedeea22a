// mcp-zoo: an MCP server that misbehaves on demand, for tests of anybody's host. See `mcp-zoo --list` and README.md.
//
// It knows no more of JSON than a host's requests need, on purpose: nothing of the library under test is in here.
#define _GNU_SOURCE
#include "zoo.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

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

extern char **environ;

struct habits habits = {.era = "dual"};

// MARK: Event log

static int log_descriptor = -1;

/// Safe in a signal handler: no memory, one write.
void note(const char *event, const char *detail, size_t length) {
    if (log_descriptor < 0) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char line[640];
    int count = snprintf(line, sizeof line, "{\"ms\":%ld,\"pid\":%d,\"event\":\"%s\",\"bytes\":%zu,\"detail\":\"", now.tv_sec * 1000 + now.tv_nsec / 1000000,
                         getpid(), event, length);
    for (size_t i = 0; i < length && count < 600; i++) {
        unsigned char c = (unsigned char)detail[i];
        if (c == '"' || c == '\\') line[count++] = '\\';
        line[count++] = c < 0x20 || c > 0x7E ? '?' : (char)c;
    }
    memcpy(line + count, "\"}\n", 3);
    (void)!write(log_descriptor, line, (size_t)count + 3);
}

static void note_text(const char *event, const char *detail) { note(event, detail, strlen(detail)); }

static void on_signal(int signal_number) {
    note_text("signal", signal_number == SIGTERM ? "SIGTERM" : signal_number == SIGINT ? "SIGINT" : "SIGHUP");
    if (signal_number == SIGTERM && habits.ignore_term) return;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

// MARK: Output

/// A text that grows.
struct text {
    char *bytes;
    size_t count, room;
};

static void add(struct text *text, const char *bytes, size_t count) {
    if (text->count + count + 1 > text->room) {
        text->room = (text->count + count + 1) * 2;
        text->bytes = realloc(text->bytes, text->room);
        if (!text->bytes) abort();
    }
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
    text->bytes[text->count] = 0;
}

static void addf(struct text *text, const char *format, ...) {
    char buffer[2048];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    add(text, buffer, (size_t)count);
}

static void out(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(1, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        bytes += written;
        count -= (size_t)written;
    }
}

static void out_text(const char *text) { out(text, strlen(text)); }

static void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/// One message, the way the habits want it.
static void deliver(const struct text *message) {
    static int is_first = 1;
    if (habits.buffered) return;
    if (is_first && habits.bom) out_text("\xEF\xBB\xBF");
    is_first = 0;
    for (int i = 0; i < habits.junk_lines; i++) out_text("this line is no message\n");
    if (habits.blank) out("\n   \n\t\n\0\n\n", 11);
    if (habits.lsp) {
        char head[64];
        out(head, (size_t)snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", message->count));
    }
    if (habits.one_byte || habits.split_utf8) {
        for (size_t i = 0; i < message->count; i++) out(message->bytes + i, 1);
    } else {
        out(message->bytes, message->count);
    }
    if (!habits.lsp) out_text(habits.crlf ? "\r\n" : "\n");
}

static void respond(const char *id, int id_length, const char *body, size_t body_length) {
    struct text message = {0};
    if (habits.unknown_id) {
        addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":987654321,\"result\":{}}");
        deliver(&message);
        message.count = 0;
    }
    if (habits.id_last) {
        addf(&message, "{");
        add(&message, body, body_length);
        addf(&message, ",\"jsonrpc\":\"2.0\",\"id\":%.*s}", id_length, id);
        deliver(&message);
        free(message.bytes);
        return;
    }
    if (habits.batch) addf(&message, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":1}},");
    if (habits.zero_id) addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":0,");
    else if (habits.string_id && *id != '"') addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":\"%.*s\",", id_length, id);
    else addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,", id_length, id);
    add(&message, body, body_length);
    add(&message, "}", 1);
    if (habits.batch) add(&message, "]", 1);
    deliver(&message);
    if (habits.double_reply) {
        message.count = 0;
        addf(&message, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-32603,\"message\":\"second answer\"}}", id_length, id);
        deliver(&message);
    }
    free(message.bytes);
}

static void reply(const char *id, int id_length, const char *body) { respond(id, id_length, body, strlen(body)); }

/// A tool's result: one text, given as JSON with its quotes.
static void text_result(const char *id, int id_length, const char *text, size_t length) {
    struct text body = {0};
    addf(&body, "\"result\":{\"resultType\":\"complete\",\"content\":[{\"type\":\"text\",\"text\":");
    if (habits.bad_utf8) {
        add(&body, "\"\xFF\xFE", 3);
        add(&body, text + 1, length - 1);
    } else {
        add(&body, text, length);
    }
    addf(&body, "}]}");
    respond(id, id_length, body.bytes, body.count);
    free(body.bytes);
}

static void words_result(const char *id, int id_length, const char *words) {
    struct text quoted = {0};
    add(&quoted, "\"", 1);
    for (const char *c = words; *c; c++) {
        if (*c == '"' || *c == '\\') add(&quoted, "\\", 1);
        if (*c == '\n') add(&quoted, "\\n", 2);
        else add(&quoted, c, 1);
    }
    add(&quoted, "\"", 1);
    text_result(id, id_length, quoted.bytes, quoted.count);
    free(quoted.bytes);
}

static void x_result(const char *id, int id_length, long size) {
    char *text = malloc((size_t)size + 2);
    if (!text) abort();
    memset(text, 'x', (size_t)size + 2);
    text[0] = text[size + 1] = '"';
    text_result(id, id_length, text, (size_t)size + 2);
    free(text);
}

static void say(const char *message) {
    struct text text = {0};
    add(&text, message, strlen(message));
    deliver(&text);
    free(text.bytes);
}

// MARK: Input

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

static void leave(int code) {
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
        text_result(id, id_length, "\"stopping\"", 10);
        raise(SIGSTOP);
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
        "\"result\":null", "\"result\":{\"protocolVersion\":5,\"capabilities\":{}}", "\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":[]}",
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

static void start_stopper(void);

static void handle(const char *line, size_t length) {
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
static void handle_reversed(const char *line, size_t length) {
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

// MARK: Processes

static void to_null(void) {
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);
}

static void stay(const char *what) {
    note_text("child", what);
    for (;;) pause();
}

#if defined(__linux__)
/// The kernel clears it, and wakes who waits for it, when the main thread ends.
static atomic_int main_thread;

/// Not by `pthread_exit` and `pthread_join`, for which the sanitizers would need to know a main thread.
static void end_main_thread(void) { syscall(SYS_exit, 0); }

static void wait_for_main_thread(void) {
    for (int number; (number = atomic_load(&main_thread)) != 0;) syscall(SYS_futex, &main_thread, FUTEX_WAIT, number, NULL);
}
#else
static pthread_t main_thread;

static void end_main_thread(void) { pthread_exit(NULL); }

static void wait_for_main_thread(void) { pthread_join(main_thread, NULL); }
#endif

/// What goes on when the main thread has ended.
static void *outlive_main(void *nothing) {
    wait_for_main_thread();
    note_text("child", "threads");
    for (;;) pause();
    return nothing;
}

/// Forks twice, with a session in between. Returns 1 in the daemon, whose parent has gone, and 0 in the caller.
static int fork_daemon(void) {
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return 0;
    }
    setsid();
    if (fork() != 0) _exit(0);
    return 1;
}

/// Becomes a process that has nothing of the server but its place among the processes.
static void forget_environment(void) {
    char *const words[] = {"mcp-zoo", "--rest", NULL}, *const nothing[] = {NULL};
    execve("/proc/self/exe", words, nothing);
    _exit(1);
}

/// A daemon of which nothing tells where it came from: neither parents, nor session, nor environment.
static void start_bare_daemon(void) {
    // Its `exec` closes the pipe: before that it could be found by its environment.
    int ends[2];
    if (pipe(ends) != 0) return;
    for (int i = 0; i < 2; i++) fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    if (!fork_daemon()) {
        char none;
        close(ends[1]);
        while (read(ends[0], &none, 1) < 0 && errno == EINTR) {}
        close(ends[0]);
        return;
    }
    note_text("child", "bare");
    to_null();
    forget_environment();
}

#if defined(__linux__)
/// A child of our parent, and a zombie at once.
static void start_sibling(void) {
    if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
        note_text("child", "sibling");
        _exit(0);
    }
}

/// The parent opens no file any more.
static void starve_guard(void) {
    const struct rlimit none = {0, 0};
    note_text("child", prlimit(getppid(), RLIMIT_NOFILE, &none, NULL) == 0 ? "starved" : "refused");
}

/// Says in our parent's name that we have ended and left nothing, and then kills it.
static void forge_guard(void) {
    const struct { int kind, value; } words[] = {{'E', 0}, {'C', 0}};
    int guard = (int)syscall(SYS_pidfd_open, getppid(), 0);
    int socket = (int)syscall(SYS_pidfd_getfd, guard, 3, 0);
    note_text("child", socket >= 0 ? "forged" : "refused");
    if (socket < 0) return;
    (void)!write(socket, words, sizeof words);
    kill(getppid(), SIGKILL);
    for (;;) pause();
}
#endif

/// Each link forks the next and exits, in a session of its own or not. In case nobody can end it, it gives up by itself when nobody looks
/// after it any more (the socket of `--alive` has lost its name), and after two minutes.
static void start_chain(void) {
    if (fork() != 0) return;
    if (!habits.chain_stays) setsid();
    to_null();
    note_text("child", "chain");
    srand((unsigned)getpid());
    for (time_t start = time(NULL); time(NULL) - start < 120;) {
        if (habits.alive && access(habits.alive, F_OK) != 0) break;
        if (habits.chain_ms > 0) pause_ms(rand() % (habits.chain_ms + 1));
        if (fork() > 0) _exit(0);
    }
    _exit(0);
}

static void start_stopper(void) {
    // Not before the guard has said that the server is there.
    habits.stop_guard = 0;
    pid_t guard = getppid();
    if (fork() != 0) return;
    to_null();
    note_text("child", "stopper");
    for (;;) {
        kill(guard, SIGSTOP);
        pause_ms(1);
    }
}

static void start_helper(const char *how) {
    if (!strcmp(how, "bare")) return start_bare_daemon();
    if (fork() != 0) return;
    if (strcmp(how, "inherit") != 0) to_null();
    if (!strcmp(how, "session")) setsid();
    if (!strcmp(how, "nameless")) {
        note_text("child", how);
        forget_environment();
    }
    if (!strcmp(how, "threads")) {
        pthread_t thread;
#if defined(__linux__)
        atomic_store(&main_thread, (int)syscall(SYS_set_tid_address, &main_thread));
#else
        main_thread = pthread_self();
#endif
        if (pthread_create(&thread, NULL, outlive_main, NULL) != 0) _exit(1);
        end_main_thread();
    }
    stay(how);
}

static void start_daemon(void) {
    if (!fork_daemon()) return;
    to_null();
    signal(SIGTERM, SIG_IGN);
    stay("daemon");
}

static void start_tree(int depth) {
    if (depth == 0 || fork() != 0) return;
    to_null();
    start_tree(depth - 1);
    stay("tree");
}

static void keep_alive_socket(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", habits.alive);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) perror("mcp-zoo: --alive");
}

static void fill_stderr(void) {
    const char *shape = habits.stderr_shape ? habits.stderr_shape : "lines";
    char last = !strcmp(shape, "line") ? 'e' : !strcmp(shape, "cr") ? '\r' : '\n';
    for (long n = habits.stderr_bytes; n > 0; n--) fputc(n % 80 ? 'e' : last, stderr);
}

int main(int argc, char **argv) {
    if (argc == 2 && (!strcmp(argv[1], "--list") || !strcmp(argv[1], "--help"))) {
        list_animals();
        return 0;
    }
    if (argc > 2 && !strcmp(argv[1], "--without-pidfd")) run_without_pidfd(argv + 2);
    if (argc == 2 && !strcmp(argv[1], "--rest"))
        for (;;) pause();
    int failure = read_switches(argc, argv);
    if (failure) return failure;
    if (habits.log) {
        log_descriptor = open(habits.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGHUP, &action, NULL);
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
