// The animals: which switch is which, what it does, which row of the catalogue of failures it stands for.
#include "zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct animal {
    const char *name, *argument, *ids, *does, *expect;
    enum { FLAG, NUMBER, BIG, TEXT, EXIT, CHAIN } kind;
    void *target;
};

#define H(field) &habits.field

static const struct animal animals[] = {
    {"--log", "FILE", "", "writes an event log, one JSON object a line: start, frame, eof, signal, child, executed, exit", "", TEXT, H(log)},
    {"--alive", "SOCKET", "N5", "connects to this Unix socket and keeps it: the kernel closes it when the last process of the server dies", "", TEXT, H(alive)},
    {"--era", "legacy|modern|dual", "B12", "answers initialize, server/discover, or both (default dual)", "a conversation in the newest common revision", TEXT, H(era)},
    {"--revision", "R", "B14", "answers initialize with this revision", "the revision if known, else an error that names it", TEXT, H(revision)},

    {"--mute", "", "B1 B9", "reads and never answers", "an error when the connect budget is over, once, with the server's name", FLAG, H(mute)},
    {"--exit", "N", "B2 B3 G10", "writes three lines to standard error and exits with N at once", "an error within 0.5 s with the status and the lines; no crash loop", EXIT, H(exit_code)},
    {"--exit-after-init", "", "B16", "answers the handshake and exits", "closed or restarting, never ready for long", FLAG, H(exit_after_init)},
    {"--slow-start", "MS", "B8", "sleeps before it reads", "patience up to the connect budget", NUMBER, H(slow_start)},
    {"--gate", "FIFO", "B8 L8", "reads one byte from a FIFO before it reads anything else", "patience; the others start meanwhile", TEXT, H(gate)},
    {"--silent-probe", "", "B10 B12", "does not answer server/discover", "initialize after the probe's time", FLAG, H(silent_probe)},
    {"--late-probe", "", "B11", "answers server/discover when it gets initialize", "the late answer is ignored", FLAG, H(late_probe)},
    {"--garble-probe", "", "B10", "answers server/discover with a line that is not JSON", "initialize after the probe's time", FLAG, H(garble_probe)},
    {"--refuse-probe", "CODE", "B12", "refuses server/discover with this error code", "initialize at once", NUMBER, H(refuse_probe)},
    {"--exit-on-probe", "", "B10", "exits when asked server/discover", "a second process, asked initialize", FLAG, H(exit_on_probe)},
    {"--probe-stderr", "BYTES", "B10", "writes so much to standard error when probed", "no stall", BIG, H(probe_stderr)},
    {"--early", "", "B13", "sends a log message, a ping and list_changed before its first answer", "ready", FLAG, H(early)},
    {"--bad-result", "KIND", "B14 F21", "answers the handshake with nonsense, of kind 1 to 9", "an error that says what is wrong", NUMBER, H(bad_result)},
    {"--buffered", "", "B21", "never flushes its output", "an error that mentions buffering", FLAG, H(buffered)},

    {"--banner", "", "C1", "writes a line that is no message first", "works; the line is in the log", FLAG, H(banner)},
    {"--junk-lines", "N", "C1", "writes N such lines before every answer", "works", NUMBER, H(junk_lines)},
    {"--junk", "BYTES", "C2 L2", "writes only that, so many bytes", "an error that says standard output is not MCP; bounded memory", BIG, H(junk)},
    {"--endless", "BYTES", "C8", "writes a message of so many bytes without an end before its answers", "bounded memory; the connection works or fails by name", BIG, H(endless)},
    {"--lsp", "", "C23", "uses Content-Length framing", "an error that says so", FLAG, H(lsp)},
    {"--bom", "", "C14", "starts with a byte order mark", "works", FLAG, H(bom)},
    {"--crlf", "", "C13", "ends lines with CR LF", "works", FLAG, H(crlf)},
    {"--blank", "", "C15", "puts empty lines, spaces and NULs between messages", "works", FLAG, H(blank)},
    {"--one-byte", "", "C3", "writes byte by byte", "works", FLAG, H(one_byte)},
    {"--split-utf8", "", "C9", "cuts writes in the middle of characters", "the same text", FLAG, H(split_utf8)},
    {"--bad-utf8", "", "C10", "puts FF FE into results", "the call ends at once; the connection lives", FLAG, H(bad_utf8)},
    {"--deep", "N", "C17", "answers tool calls with N nested arrays", "that call fails fast", NUMBER, H(deep)},
    {"--batch", "", "C20", "answers with an array of answer and notification", "the answer counts", FLAG, H(batch)},
    {"--no-newline", "", "C16", "answers the first tool call without a newline and exits", "the answer is delivered", FLAG, H(no_newline)},
    {"--id-last", "", "T8", "writes the id of an answer behind its result", "works, also where the answer is too large", FLAG, H(id_last)},
    {"--half-frame", "", "C22", "answers the first tool call with half a message and exits", "the call fails with the exit status", FLAG, H(half_frame)},

    {"--stderr", "BYTES", "D1 L1", "writes so much to standard error first", "no stall; bounded memory", BIG, H(stderr_bytes)},
    {"--stderr-shape", "lines|line|cr", "D1", "how that is broken into lines", "the same", TEXT, H(stderr_shape)},

    {"--ignore-eof", "", "E1 E2", "goes on after the end of its input", "ended by SIGTERM after the grace", FLAG, H(ignore_eof)},
    {"--ignore-term", "", "E2", "goes on after SIGTERM", "ended by SIGKILL after the grace", FLAG, H(ignore_term)},
    {"--wrapper", "", "E4 E19", "is a child of the process that was started, as with npx or sh -c", "wrapper and server are gone after closing", FLAG, H(wrapper)},
    {"--wrapper-exits", "", "E5 E8", "the process that was started exits, its child goes on with the pipes", "the end is seen; the child is ended", FLAG, H(wrapper_exits)},
    {"--helper", "inherit|null|session|threads|bare|nameless", "E6 T7 T9 T18 0b", "starts a child that outlives the server: with its pipes, on /dev/null, in a session of its own, with its main thread ended, as a daemon without the server's environment, or in its process group without its environment", "gone after closing", TEXT, H(helper)},
    {"--chain", "MS", "T19", "starts a process that forks and exits every 0 to MS milliseconds, for ever", "ended, or told as left", CHAIN, H(chain_ms)},
    {"--chain-stays", "", "E6 T19", "lets the chain stay in the server's session", "ended, also where daemons may stay", FLAG, H(chain_stays)},
    {"--sibling", "", "E21 T25", "starts a child that is its parent's, and that ends at once (Linux)", "reaped at the latest when the server has ended", FLAG, H(sibling)},
    {"--starve-guard", "", "E15", "forbids its parent from outside to open any file (Linux)", "ended all the same", FLAG, H(starve_guard)},
    {"--forge-guard", "", "T18", "when its input ends, tells the host in its parent's name that nothing is left, and kills the parent (Linux)", "not believed", FLAG, H(forge_guard)},
    {"--kill-guard", "", "T18", "kills its parent when its input ends", "not proved that nothing is left", FLAG, H(kill_guard)},
    {"--stop-guard", "", "T17", "keeps its parent stopped, a thousand times a second", "ended all the same", FLAG, H(stop_guard)},
    {"--double-fork", "", "E15", "starts a daemon that has left parent, group and session, and ignores SIGTERM", "gone after closing, also when the host was killed", FLAG, H(double_fork)},
    {"--tree", "N", "E4", "starts N children, each of the one before", "all gone after closing", NUMBER, H(tree)},

    {"--unknown-id", "", "F1", "sends an answer to nobody before each answer", "ignored", FLAG, H(unknown_id)},
    {"--double-reply", "", "F2", "answers twice, the second time with an error", "the first counts", FLAG, H(double_reply)},
    {"--string-id", "", "F5", "answers with the number as a string", "accepted", FLAG, H(string_id)},
    {"--zero-id", "", "F5", "answers everything with id 0", "an error that is no hang", FLAG, H(zero_id)},
    {"--reverse", "N", "F4", "collects N tool calls and answers the last one first", "everybody gets their own", NUMBER, H(reverse)},
    {"--odd-names", "", "F22", "lists tools named __proto__, constructor, with an emoji, with nothing", "listed or refused, no crash", FLAG, H(odd_names)},
    {"--read-only", "", "F15", "says of the tool `once` that it is read-only", "may be asked again after a lost answer, where allowed", FLAG, H(read_only)},
    {"--state", "FILE", "F15", "where the tool `once` notes that it has run", "", TEXT, H(state)},
    {"--cursor", "loop|empty|new", "J1", "pages without end: the same cursor, an empty one, always a new one", "the walk ends", TEXT, H(cursor)},
    {"--storm", "N", "D11 D12", "sends N list_changed notifications after the handshake", "bounded memory, calls go on", NUMBER, H(storm)},
};

enum { COUNT = sizeof animals / sizeof *animals };

void list_behaviors(void) {
    puts("mcp-zoo is an MCP server that misbehaves on demand. Switches may be combined.\n");
    for (int i = 0; i < COUNT; i++) {
        printf("%s %s%s%s%s\n    %s\n", animals[i].name, animals[i].argument, *animals[i].ids ? "  [" : "", animals[i].ids,
               *animals[i].ids ? "]" : "", animals[i].does);
        if (*animals[i].expect) printf("    a good host: %s\n", animals[i].expect);
    }
    puts("\nTools: echo (text), length (text), hang, later, exit (n), kill, pid, big (n bytes), twice, progress, flood (n), ask (text: a\n"
         "method), nap, order, once, environment, descriptors, surrogate, separators, numbers, duplicate-key, malformed (n), stop-reading,\n"
         "close-input, close-output, stop-self, stop-guard, kill-guard, say-and-exit (n bytes), roots (n requests for roots at once).\n\n"
         "mcp-zoo --without-pidfd COMMAND ... runs a program as on a system without process descriptors (Linux).");
}

int read_switches(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const struct animal *found = NULL;
        for (int j = 0; j < COUNT; j++)
            if (!strcmp(argv[i], animals[j].name)) found = &animals[j];
        if (!found) {
            fprintf(stderr, "mcp-zoo: no animal \"%s\"; mcp-zoo --list shows all\n", argv[i]);
            return 64;
        }
        if (found->kind != FLAG && i + 1 == argc) {
            fprintf(stderr, "mcp-zoo: %s needs %s\n", found->name, found->argument);
            return 64;
        }
        switch (found->kind) {
            case FLAG: *(int *)found->target = 1; break;
            case NUMBER: *(int *)found->target = atoi(argv[++i]); break;
            case CHAIN:
                habits.has_chain = 1;
                *(int *)found->target = atoi(argv[++i]);
                break;
            case BIG: *(long *)found->target = atol(argv[++i]); break;
            case TEXT: *(const char **)found->target = argv[++i]; break;
            case EXIT:
                habits.has_exit = 1;
                *(int *)found->target = atoi(argv[++i]);
                break;
        }
    }
    return 0;
}
