/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * bundle - the values of several tokens in one answer, a flat JSON object of
 * name and value, as Telegraf's http secret store wants it. Each has its own
 * verdict and its own record; the answer leaves when all records are made.
 */
struct request;
struct session;

/* Names are letters, digits and '_' there: another character of a token's name
 * becomes '_'. Answers, now or later. */
void bundle_start(struct session *s, const struct request *rq);
