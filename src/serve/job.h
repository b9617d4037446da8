/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * job - a request whose answer is the outcome of work of the broker's. That
 * goes on when whoever asked does not wait for it; what takes longer than a
 * request may is answered with 202.
 */
#include "broker/broker.h"

struct job;
struct session;

struct job *job_begin(struct session *s);
/* Begun with job_on_done and j. */
void job_set(struct job *j, struct broker_job *job);
broker_done_fn job_on_done;
