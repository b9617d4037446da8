/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sysd - the two protocols of systemd we speak, without libsystemd:
 * sd_notify(3) and sd_listen_fds(3). Both are silent no-ops without systemd.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/* One datagram to $NOTIFY_SOCKET, e.g. "READY=1\nSTATUS=2 tokens ready". */
void sysd_notify(const char *fmt, ...) _printf_(1, 2);

/* READY/RELOADING need MONOTONIC_USEC on 253 and later: sent with it. */
void sysd_notify_reloading(void);

/* Half of the watchdog interval in ms, 0 when systemd wants none. */
int64_t sysd_watchdog_ms(void);

struct sysd_fd {
	int fd;     /* close-on-exec is set */
	char *name; /* from LISTEN_FDNAMES, "" when there are none */
};

/* The inherited sockets. The environment variables are removed. Returns the
 * count; *out is an array to be freed with sysd_fds_free. */
size_t sysd_listen_fds(struct sysd_fd **out);
void sysd_fds_free(struct sysd_fd *fds, size_t n);
