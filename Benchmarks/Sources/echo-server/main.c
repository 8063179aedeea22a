// The least that is an MCP server over stdio: initialize, tools/list, tools/call echo. One thread, no library, one read and one
// write for whatever came in between. With --raw it gives every line back. With --payload N the tool answers with N bytes.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *out;
static size_t out_length, out_capacity;

static void put(const char *bytes, size_t count) {
    if (out_length + count > out_capacity) {
        out_capacity = (out_length + count) * 2;
        out = realloc(out, out_capacity);
        if (!out) abort();
    }
    memcpy(out + out_length, bytes, count);
    out_length += count;
}

#define PUT(literal) put(literal, sizeof(literal) - 1)

/// The raw value behind `"name":` in a compact message.
static const char *value(const char *line, size_t length, const char *name, size_t *size) {
    const char *start = memmem(line, length, name, strlen(name));
    if (!start) return NULL;
    start += strlen(name);
    const char *end = start, *limit = line + length;
    if (*end == '"') {
        do {
            end = memchr(end + 1, '"', limit - end - 1);
            if (!end) return NULL;
        } while (end[-1] == '\\');
        end++;
    } else {
        while (end < limit && *end != ',' && *end != '}') end++;
    }
    *size = end - start;
    return start;
}

static char *payload;
static size_t payload_length;

static void answer(const char *line, size_t length) {
    size_t id_size, method_size, size;
    const char *id = value(line, length, "\"id\":", &id_size);
    const char *method = value(line, length, "\"method\":", &method_size);
    if (!id || !method) return;
    PUT("{\"jsonrpc\":\"2.0\",\"id\":");
    put(id, id_size);
    if (method_size == 12 && !memcmp(method, "\"tools/call\"", 12)) {
        const char *text = value(line, length, "\"text\":", &size);
        PUT(",\"result\":{\"content\":[{\"type\":\"text\",\"text\":");
        if (payload) put(payload, payload_length);
        else if (text) put(text, size);
        else PUT("\"\"");
        PUT("}],\"isError\":false}}\n");
    } else if (method_size == 12 && !memcmp(method, "\"initialize\"", 12)) {
        const char *version = value(line, length, "\"protocolVersion\":", &size);
        PUT(",\"result\":{\"protocolVersion\":");
        if (version) put(version, size);
        else PUT("\"2025-11-25\"");
        PUT(",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"echo\",\"version\":\"1\"}}}\n");
    } else if (method_size == 12 && !memcmp(method, "\"tools/list\"", 12)) {
        PUT(",\"result\":{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\",\"properties\":"
            "{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}}]}}\n");
    } else {
        PUT(",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n");
    }
}

int main(int argc, char **argv) {
    int raw = argc > 1 && !strcmp(argv[1], "--raw");
    if (argc > 2 && !strcmp(argv[1], "--payload")) {
        size_t count = strtoull(argv[2], NULL, 10);
        payload = malloc(count * 2 + 3);
        if (!payload) abort();
        payload[payload_length++] = '"';
        for (size_t i = 0; i < count; i++) {
            if (i % 80 == 79) memcpy(payload + payload_length, "\\n", 2), payload_length += 2;
            else payload[payload_length++] = 'a' + i % 26;
        }
        payload[payload_length++] = '"';
    }
    size_t capacity = 1 << 17, length = 0, scanned = 0;
    char *in = malloc(capacity);
    for (;;) {
        if (length == capacity) in = realloc(in, capacity *= 2);
        if (!in) abort();
        ssize_t count = read(0, in + length, capacity - length);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return 0;
        length += count;
        size_t start = 0;
        char *newline;
        while ((newline = memchr(in + scanned, '\n', length - scanned))) {
            if (raw) put(in + start, newline + 1 - in - start);
            else answer(in + start, newline - in - start);
            start = scanned = newline + 1 - in;
        }
        memmove(in, in + start, length - start);
        length -= start;
        scanned = length;
        for (size_t written = 0; written < out_length;) {
            ssize_t step = write(1, out + written, out_length - written);
            if (step < 0 && errno != EINTR) return 0;
            if (step > 0) written += step;
        }
        out_length = 0;
    }
}
