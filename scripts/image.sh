# shellcheck shell=bash
# The container image: a layout of OCI that is put together without an engine, and judged. Sourced by ./x.

image_needs() {
  want "strip" binutils "binutils" command -v strip
  want "Python 3" python3 "python3, from a package manager" python3 --version
  want "authorities of certificates" ca-certificates "ca-certificates, from a package manager" has_authorities
}

has_authorities() {
  [[ -e /etc/ssl/certs/ca-certificates.crt || -e /etc/pki/tls/certs/ca-bundle.crt || -e /etc/ssl/ca-bundle.pem ]]
}

# image_of <stripped binary> <layout>
image_of() {
  python3 scripts/image.py make "$2" --binary "$1" --version "$(workspace_version)" \
    --revision "$(git rev-parse HEAD)" --epoch "$(git log -1 --format=%ct)"
}

workspace_version() {
  sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml
}

# What `./x test` does with the binary that it has built.
image_holds() {
  local place
  if [[ $(uname) != Linux ]]; then
    left_out "not made: an image of Linux, which takes Linux"
    return
  fi
  place=$(mktemp -d)
  chmod 755 "$place"
  strip -o "$place/outrigger" "$CARGO_TARGET_DIR/release/outrigger"
  image_of "$place/outrigger" "$place/one"
  image_of "$place/outrigger" "$place/two" >/dev/null
  diff -r "$place/one" "$place/two" || fail "the same files made two images"
  python3 scripts/image.py judge "$place/one" --unpack "$place/root"
  if ! unshare --mount --net true 2>/dev/null; then
    left_out "not run: the file system of the image, which takes root and unshare"
  else
    image_runs "$place"
    charts_hold "$place/root"
  fi
  rm -rf "$place"
}

# The file system of the image alone, as its user, without a right to write to it: what it says, and three nodes that
# are killed, wiped, restored and compared.
image_runs() {
  local place=$1
  mkdir -m 1777 "$place/tmp"
  scripts/contained.sh "$place/root" "
    inside 65532:65532 outrigger --version
    inside 65532:65532 outrigger demo --keys 2000 >'$place/demo' || exit 1
    if inside 65532:65532 outrigger dev --data /etc/dev </dev/null 2>'$place/refused'; then exit 1; fi
    grep -q /etc/dev '$place/refused'
  " "/tmp=$place/tmp"
}

# A layout for whoever has an engine: `skopeo copy oci:DIRECTORY docker://...` takes it, and so do podman and docker load.
image() {
  local out=$CARGO_TARGET_DIR/dist/image
  setup_build
  provide image_needs
  native cargo build --release --locked --package outrigger
  mkdir -p "$CARGO_TARGET_DIR/dist"
  strip -o "$CARGO_TARGET_DIR/dist/outrigger.stripped" "$CARGO_TARGET_DIR/release/outrigger"
  image_of "$CARGO_TARGET_DIR/dist/outrigger.stripped" "$out"
  python3 scripts/image.py judge "$out"
  say "$out"
}
