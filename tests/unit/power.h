/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * power - a power cut for the tests of src/state: from power_on on it is
 * remembered what is durable, and after power_cut the directories of a fixture
 * can be made what a disk may hold after the lights went out (in which ways,
 * says tests/crash/image.h). Link it with fake_disk and tests/crash/image.c.
 *
 *	p = power_on(f);
 *	fake_disk_die_after(n);                     the lights go out there
 *	... work ...
 *	state_stop(f);
 *	power_cut(p);                               ends fake_disk's rules
 *	for each `what`:
 *		power_restore(p, f, what);
 *		... start, look, state_stop(f) ...
 *	power_free(p);
 */
#include "crash/image.h"
#include "state_fixture.h"

struct power;

/* What is there now counts as durable. One at a time. */
struct power *power_on(const struct state_fixture *f);
/* The writer must have stopped. */
void power_cut(struct power *p);
/* Once for each `what`. */
void power_restore(struct power *p, struct state_fixture *f,
    enum image_what what);
void power_free(struct power *p);
