# shellcheck shell=bash
# What nodes are deployed with. Sourced by ./x.

# systemd's own judge of a unit; the program that it runs is not installed here.
systemd_unit() {
  local dir
  if ! command -v systemd-analyze >/dev/null; then
    say "not checked: this machine has no systemd-analyze"
    return
  fi
  dir=$(mktemp -d)
  sed 's|/usr/local/bin/outrigger|/bin/true|' deploy/systemd/outrigger.service >"$dir/outrigger.service"
  systemd-analyze verify --man=no "$dir/outrigger.service"
  # 0 is closed, 10 is open; what it cannot do without is the network and its own directories.
  systemd-analyze security --offline=true --threshold=20 "$dir/outrigger.service" >/dev/null
  rm -r "$dir"
}
