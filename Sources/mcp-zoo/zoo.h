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

/// Prints what each animal does, and what a good host shows.
void list_animals(void);
/// Reads the switches. Returns 0, or 64 after saying what is wrong.
int read_switches(int argc, char **argv);

/// One line of the event log: what this process saw, and when.
void note(const char *event, const char *detail, size_t length);

/// Runs another program without process descriptors, as on an old kernel or in a sandbox. Does not return.
void run_without_pidfd(char **command);

#endif
