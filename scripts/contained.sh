#!/usr/bin/env bash
# contained.sh ROOT SCRIPT [PATH=DIRECTORY]...: what a container's runtime does, with nothing but a kernel and root.
#
# SCRIPT is run by bash beside a container of the file system ROOT, which nobody may write to, with a network of its own
# and the directories mounted at the paths. `inside USER:GROUP[:GROUP] COMMAND...` runs what is in it; CONTAINER_ENV
# may be a variable that it gets.
set -euo pipefail

root=$(realpath "$1") script=$2
shift 2

if [[ ${CONTAINED:-} != yes ]]; then
  export CONTAINED=yes
  exec unshare --mount --net --pid --fork --kill-child bash "$0" "$root" "$script" "$@"
fi

# Becomes the command, for what is to be signalled: `enter ... &`.
enter() {
  local user group more
  IFS=: read -r user group more <<<"$1"
  shift
  exec env -i ${CONTAINER_ENV:+"$CONTAINER_ENV"} PATH=/usr/local/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    "$CHROOT" --userspec="$user:$group" --groups="${more:-$group}" "$root" "$@"
}

inside() { (enter "$@"); }

CHROOT=$(command -v chroot)
ip link set lo up
mkdir -p "$root/proc" "$root/dev"
mount --bind "$root" "$root"
for mounted in "$@"; do
  mkdir -p "$root${mounted%%=*}"
done
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
for device in null urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
for mounted in "$@"; do
  mount --bind "${mounted#*=}" "$root${mounted%%=*}"
done

source /dev/stdin <<<"$script"
