/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * segment_int - what segment.c shares with segment_open.c, which finds the
 * end of the chain at start and repairs it.
 */
#include "state/segment.h"

/* Finds where the chain ends in the file fd, and cuts off what follows. *end
 * is set when a good line was found, else left alone; *len is what the file
 * keeps, *cut how much was moved to the torn file. */
int segment_repair(int dirfd, int fd, struct chain_pos *end, size_t *len,
    size_t *cut, struct tb_error *err);
/* The end of the newest older file that has one, for when the current one has
 * no line. Leaves *end alone when there is none. */
int segment_find_older(int dirfd, struct chain_pos *end, struct tb_error *err);
/* Is fd, of len bytes with its last line at *end, one of the older files as
 * well? 1: yes, *end is the line it ends with as such, *at the offset behind
 * that, *rest what follows. 0: no (or it cannot be used as one, and has lost
 * that name). -1: err. */
int segment_find_half(int dirfd, int fd, size_t len, struct chain_pos *end,
    size_t *at, char **rest, struct tb_error *err);
