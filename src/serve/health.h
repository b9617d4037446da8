/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * health - GET health, on both HTTP doors. Without a parameter it asks whether
 * a token could be released now: the daemon is not stopping, and what has to be
 * on record can be written. With live=1 it asks only whether the daemon
 * answers. Neither says anything of logins or tokens: those are of the status.
 */
#include <stdbool.h>

struct request;
struct session;

/* tells_why: the asker may know what is wrong with the disk. */
void health_answer(struct session *s, const struct request *rq,
    bool tells_why);
