#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the npm packages of the test identity provider outside the source tree and prints the directory they are
# in. Where they are there already it does nothing and needs no network.
#
# TB_NODE_DIR   where to install (default: a directory of the user's cache, named by the hash of the lock file, so that
#               a changed lock file never meets an old installation)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
hash=$(sha256sum "$here/package-lock.json" | cut -c1-16)
dir=${TB_NODE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tokenbroker-tests/op-$hash}

complete() {
	[ -f "$dir/node_modules/oidc-provider/package.json" ] && cmp -s "$here/package-lock.json" "$dir/package-lock.json"
}

if ! complete; then
	mkdir -p "$(dirname "$dir")"
	new=$(mktemp -d "$dir.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$new/"
	(cd "$new" && npm ci --no-progress >&2)

	# The rename is what makes parallel runs safe: others see nothing or everything, and who comes second finds
	# the place taken and throws its own copy away.
	if [ -d "$dir" ] && ! complete; then
		mv -T "$dir" "$new.old" 2>/dev/null && rm -rf "$new.old"
	fi
	mv -T "$new" "$dir" 2>/dev/null || complete || {
		echo "install.sh: cannot put the packages at $dir" >&2
		exit 1
	}
fi
echo "$dir"
