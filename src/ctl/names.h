/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * names - of tokens, logins and templates, for the completion of
 * command lines. Silent about everything that goes wrong: who presses a key
 * waits for an answer, not for an error.
 */
#include "ctl/complete.h"

complete_names_fn names_add;
