// What the files of the zoo share.
#ifndef ZOO_H
#define ZOO_H

#include <stddef.h>

/// Every misbehaviour: one switch each, all may be combined.
struct habits {
    const char *era, *revision, *log, *alive, *helper, *cursor, *state, *stderr_shape, *gate;
    int ignore_eof, ignore_term, exit_on_probe, mute, silent_probe, late_probe, garble_probe, refuse_probe, wrapper, wrapper_exits;
    int id_last, stop_guard, kill_guard, chain_stays, sibling, starve_guard, forge_guard;
    int banner, junk_lines, lsp, bom, crlf, blank, one_byte, split_utf8, bad_utf8, no_newline, half_frame, buffered, batch;
    int unknown_id, string_id, zero_id, double_reply, reverse, early, storm, tree, double_fork, daemon, odd_names, read_only, exit_after_init;
    int slow_start, bad_result, deep;
    int has_chain, chain_ms;
    long junk, endless, stderr_bytes, probe_stderr;
    int has_exit, exit_code;
};

extern struct habits habits;

/// Prints what each behaviour does, and what a good host shows.
void list_behaviors(void);
/// Reads the switches. Returns 0, or 64 after saying what is wrong.
int read_switches(int argc, char **argv);

/// Runs another program without process descriptors, as on an old kernel or in a sandbox. Does not return.
void run_without_pidfd(char **command);

// messages.c: the event log, and what leaves for the host

/// A text that grows.
struct text {
    char *bytes;
    size_t count, room;
};

/// Opens the log that `--log` names; signals are noted there from then on, and end nothing unless the habits say so.
void open_log(void);
/// One line of the event log: what this process saw, and when. Safe in a signal handler: no memory, one write.
void note(const char *event, const char *detail, size_t length);
/// The same, of a text.
void note_text(const char *event, const char *detail);
/// Appends bytes.
void add(struct text *text, const char *bytes, size_t count);
/// Appends as printf does.
void addf(struct text *text, const char *format, ...);
/// Bytes for the host, as they are.
void out(const char *bytes, size_t count);
/// The same, of a text.
void out_text(const char *text);
/// Does nothing for so long.
void pause_ms(long ms);
/// One message, the way the habits want it.
void deliver(const struct text *message);
/// An answer: `body` is its `result` or `error`, with its name.
void respond(const char *id, int id_length, const char *body, size_t body_length);
/// The same, of a text.
void reply(const char *id, int id_length, const char *body);
/// A tool's result: one text, given as JSON with its quotes.
void text_result(const char *id, int id_length, const char *text, size_t length);
/// A tool's result: one text, not yet quoted.
void words_result(const char *id, int id_length, const char *words);
/// A tool's result: one text of so many times x.
void x_result(const char *id, int id_length, long size);
/// A message that is no answer.
void say(const char *message);

// answers.c: what is done with what the host sends

/// Ends, and notes it.
void leave(int code);
/// One line of the host.
void handle(const char *line, size_t length);
/// Tool calls in groups of N, the last one first.
void handle_reversed(const char *line, size_t length);

// processes.c: what a server does with processes

/// A child of our parent, and a zombie at once.
void start_sibling(void);
/// The parent opens no file any more.
void starve_guard(void);
/// Says in our parent's name that we have ended and left nothing, and then kills it.
void forge_guard(void);
/// Each link forks the next and exits, in a session of its own or not. In case nobody can end it, it gives up by itself when nobody looks
/// after it any more (the socket of `--alive` has lost its name), and after two minutes.
void start_chain(void);
/// A child that stops the guard.
void start_stopper(void);
/// A child that outlives us, in the way that is named.
void start_helper(const char *how);
/// A daemon by two forks.
void start_daemon(void);
/// Children of children, so deep.
void start_tree(int depth);
/// Connects to the socket of `--alive`: whoever listens there sees when the last process has gone.
void keep_alive_socket(void);
/// Writes to standard error what the habits say.
void fill_stderr(void);

#endif
