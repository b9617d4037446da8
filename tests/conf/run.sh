#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs every case of this directory against $TOKENBROKERD, or those named.
#
#   NNN-name/tokenbroker.conf, conf.d/   the configuration
#   NNN-name/expected   what --dump prints; --check must say nothing, and the
#                       dump must read back to itself
#   NNN-name/warning    with it: how the last line of stderr of --check ends
#   NNN-name/error      or: how the last line of stderr ends; exit status 78
#   NNN-name/env        VAR=VALUE lines for the run
#   NNN-name/mode       "MODE PATH" lines: what git does not keep
#
# CONFDIR stands for the directory. A case is copied first, so that its files
# belong to whoever runs the test. UPDATE=1 writes expected and error anew: to
# be read by a human before it is committed.

here=$(cd "$(dirname "$0")" && pwd)
daemon=${TOKENBROKERD:-tokenbrokerd}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 022
passed=0 failed=0 number=0

command -v "$daemon" >/dev/null || {
	echo "run.sh: there is no '$daemon': set TOKENBROKERD" >&2
	exit 1
}

# prepare CASE: a copy in $dir
prepare() {
	dir=$work/$(basename "$1")
	mkdir "$dir"
	cp -R "$1/." "$dir"
	chmod -R u+rwX,go-w "$dir"
	if [ -f "$1/mode" ]; then
		while read -r mode path; do
			chmod "$mode" "$dir/$path"
		done <"$1/mode"
	fi
	set --
	if [ -f "$dir/env" ]; then
		while read -r line; do
			set -- "$@" "$line"
		done <"$dir/env"
	fi
	printf '%s\n' "$@" | sed "s|CONFDIR|$dir|g" >"$work/env"
}

# run OPTION FILE: stdout, stderr and status of the daemon
run() {
	set -- "$daemon" "$1" --config "$2"
	while read -r line; do
		[ -z "$line" ] || set -- "$line" "$@"
	done <"$work/env"
	env -u CREDENTIALS_DIRECTORY -u TOKENBROKER_RUN_DIR \
		-u JOURNAL_STREAM LC_ALL=C "$@" >"$work/out" 2>"$work/err"
	status=$?
}

no() {
	why=$1
	return 1
}

good_case() {
	run --dump "$dir/tokenbroker.conf"
	[ $status -eq 0 ] || no "--dump: status $status: $(cat "$work/err")" ||
		return
	sed "s|$dir|CONFDIR|g" "$work/out" >"$work/dump"
	[ -z "$UPDATE" ] || cp "$work/dump" "$1/expected"
	diff -u "$1/expected" "$work/dump" >"$work/diff" ||
		no "--dump: $(cat "$work/diff")" || return
	mkdir "$dir/again"
	cp "$work/out" "$dir/again/tokenbroker.conf"
	run --dump "$dir/again/tokenbroker.conf"
	diff -u "$dir/again/tokenbroker.conf" "$work/out" >"$work/diff" ||
		no "--dump of --dump: $(cat "$work/err" "$work/diff")" ||
		return
	run --check "$dir/tokenbroker.conf"
	[ $status -eq 0 ] || no "--check: status $status" || return
	got=$(tail -n 1 "$work/err" | sed "s|$dir|CONFDIR|g")
	[ -z "$UPDATE" ] || [ -z "$got" ] ||
		echo "$got" | sed 's|^tokenbrokerd: ||' >"$1/warning"
	want=$(cat "$1/warning" 2>/dev/null)
	case $got in
	*"$want") ;;
	*) no "want: $want
got:  $got" || return ;;
	esac
	[ -n "$want" ] || [ -z "$got" ] || no "--check says: $got"
}

bad_case() {
	run --check "$dir/tokenbroker.conf"
	got=$(tail -n 1 "$work/err" | sed "s|$dir|CONFDIR|g")
	[ -z "$UPDATE" ] || echo "$got" | sed 's|^tokenbrokerd: ||' >"$1/error"
	want=$(cat "$1/error")
	[ $status -eq 78 ] || no "status $status, 78 is wanted: $got" || return
	case $got in
	*"$want") ;;
	*) no "want: $want
got:  $got" ;;
	esac
}

[ $# -gt 0 ] || set -- "$here"/[0-9]*/
echo "1..$#"
for case; do
	case=${case%/}
	number=$((number + 1))
	why=
	prepare "$case"
	if [ -f "$case/error" ]; then
		bad_case "$case"
	else
		good_case "$case"
	fi
	if [ -z "$why" ]; then
		passed=$((passed + 1))
		echo "ok $number - conf/$(basename "$case")"
	else
		failed=$((failed + 1))
		echo "not ok $number - conf/$(basename "$case")"
		echo "$why" | sed 's/^/#   /'
	fi
	rm -rf "$dir"
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
