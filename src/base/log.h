/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log - one line per event on stderr, with sd-daemon(3) priority prefixes when
 * systemd reads it (JOURNAL_STREAM set), plain otherwise.
 *
 * log_info("mint", ...): the token in front names the subsystem and makes one
 * grep follow it. INFO and above is written for operators and needs no source
 * to be understood. Control characters in the text are replaced by '?', so no
 * reply can forge a line. A struct secret does not fit any format.
 */
#include <stdbool.h>

#include "base/util.h"

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

void log_set_level(enum log_level level);
/* "error", "warning", "info", "debug"; -1 for anything else. */
int log_level_from_name(const char *name);
bool log_enabled(enum log_level level);

void log_line(enum log_level level, const char *subsys, const char *fmt, ...)
    _printf_(3, 4);

#define log_error(subsys, ...) log_line(LOG_L_ERROR, subsys, __VA_ARGS__)
#define log_warn(subsys, ...) log_line(LOG_L_WARN, subsys, __VA_ARGS__)
#define log_info(subsys, ...) log_line(LOG_L_INFO, subsys, __VA_ARGS__)
#define log_debug(subsys, ...) \
	do { \
		if (log_enabled(LOG_L_DEBUG)) \
			log_line(LOG_L_DEBUG, subsys, __VA_ARGS__); \
	} while (0)
