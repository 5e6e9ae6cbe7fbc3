# shellcheck shell=bash
# The first command as a newcomer runs it: a Debian with nothing but git and this machine's Rust toolchain, in a
# directory of its own. Sourced by ./x. It takes what a first build takes; BARE_COMMAND runs something else than the demo.

bare_needs() {
  want "debootstrap" debootstrap "debootstrap, from a package manager" command -v debootstrap
}

# bare [suite] [packages that are there already]
bare() {
  local suite=${1:-bookworm} base home
  shift || true
  [[ $suite == bookworm || $suite == trixie ]] || fail "bare takes bookworm or trixie, not \`$suite\`"
  [[ $(uname) == Linux && $(id -u) -eq 0 ]] || fail "bare needs root: it makes a system in a directory and mounts the toolchain into it"
  setup_rust
  provide bare_needs
  base=$(bare_base "$suite")
  home=$(mktemp -d "$CACHE/bare-$suite.XXXXXX")
  # The mounts are in a namespace of their own, and are gone when it ends: what is removed then is only the copy.
  # shellcheck disable=SC2064
  trap "rm -rf --one-file-system '$home'" EXIT
  cp -a "$base/." "$home"
  git clone --quiet . "$home/root/outrigger"
  say "$suite, bare${*:+, with $*}: ${BARE_COMMAND:-./x demo}"
  unshare --mount --propagation private bash -c "$(declare -f bare_mounts bare_inside)"'; bare_mounts "$1" && shift && bare_inside "$@"' \
    bare "$home" "$home" "${BARE_COMMAND:-./x demo}" "$@" </dev/null
}

# What a newcomer has: the system's base and git. Made once.
bare_base() {
  local base="$CACHE/bare-base-$1" fresh
  if [[ ! -d $base ]]; then
    say "making a bare $1" >&2
    mkdir -p "$CACHE"
    fresh=$(mktemp -d "$base.XXXXXX")
    debootstrap --variant=minbase --include=ca-certificates,git "$1" "$fresh" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >&2 ||
      fail "debootstrap failed; DEBIAN_MIRROR names a mirror that this machine reaches"
    chmod 755 "$fresh"
    mv "$fresh" "$base"
  fi
  echo "$base"
}

bare_mounts() {
  local place
  for place in /proc /dev "${RUSTUP_HOME:-$HOME/.rustup}" "${CARGO_HOME:-$HOME/.cargo}"; do
    mkdir -p "$1$place"
    mount --rbind "$place" "$1$place" || return
  done
  cp /etc/resolv.conf /etc/hosts "$1/etc/"
}

# bare_inside <directory> <command> [packages]
bare_inside() {
  local home=$1 command=$2
  shift 2
  local environment=(env -i "HOME=$HOME" LANG=C.UTF-8 CI=true DEBIAN_FRONTEND=noninteractive
    "PATH=${CARGO_HOME:-$HOME/.cargo}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
  if [[ $# -gt 0 ]]; then
    chroot "$home" "${environment[@]}" bash -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' apt "$@" || return
  fi
  chroot "$home" "${environment[@]}" bash -c "cd /root/outrigger && git config --global --add safe.directory '*' && $command"
}
