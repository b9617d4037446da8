#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Replays the corpus of every fuzz target ($REPLAYS, set by the Makefile).
status=0
for replay in $REPLAYS; do
	name=${replay#replay_}
	if out=$("$builddir/$replay" "$srcdir/tests/fuzz/corpus/$name" 2>&1)
	then
		echo "$name: $out" | tail -n 1
	else
		echo "$out"
		echo "FAILED: $name"
		status=1
	fi
done
exit $status
