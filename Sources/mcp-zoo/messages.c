// The event log of the zoo, and the messages that leave it, well or badly.
#define _GNU_SOURCE
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

void note_text(const char *event, const char *detail) { note(event, detail, strlen(detail)); }

static void on_signal(int signal_number) {
    note_text("signal", signal_number == SIGTERM ? "SIGTERM" : signal_number == SIGINT ? "SIGINT" : "SIGHUP");
    if (signal_number == SIGTERM && habits.ignore_term) return;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void open_log(void) {
    log_descriptor = open(habits.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

// MARK: Output

void add(struct text *text, const char *bytes, size_t count) {
    if (text->count + count + 1 > text->room) {
        text->room = (text->count + count + 1) * 2;
        text->bytes = realloc(text->bytes, text->room);
        if (!text->bytes) abort();
    }
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
    text->bytes[text->count] = 0;
}

void addf(struct text *text, const char *format, ...) {
    char buffer[2048];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    add(text, buffer, (size_t)count);
}

void out(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(1, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        bytes += written;
        count -= (size_t)written;
    }
}

void out_text(const char *text) { out(text, strlen(text)); }

void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/// One message, the way the habits want it.
void deliver(const struct text *message) {
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

void respond(const char *id, int id_length, const char *body, size_t body_length) {
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

void reply(const char *id, int id_length, const char *body) { respond(id, id_length, body, strlen(body)); }

/// A tool's result: one text, given as JSON with its quotes.
void text_result(const char *id, int id_length, const char *text, size_t length) {
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

void words_result(const char *id, int id_length, const char *words) {
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

void x_result(const char *id, int id_length, long size) {
    char *text = malloc((size_t)size + 2);
    if (!text) abort();
    memset(text, 'x', (size_t)size + 2);
    text[0] = text[size + 1] = '"';
    text_result(id, id_length, text, (size_t)size + 2);
    free(text);
}

void say(const char *message) {
    struct text text = {0};
    add(&text, message, strlen(message));
    deliver(&text);
    free(text.bytes);
}
