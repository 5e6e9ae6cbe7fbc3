# shellcheck shell=bash
# The binary as it is published, and its image. Sourced by ./x; .github/workflows/release.yml runs it on each platform.

# What any glibc system has. Whatever else a binary asks for would be missing on the machine that it is taken to.
RELEASE_LIBRARIES='ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 libc.so.6 libm.so.6 libgcc_s.so.1 libstdc++.so.6'

release_needs() {
  want "strip, objdump" binutils "binutils" command -v objdump
}

release() {
  local name version binary out
  version=$(workspace_version)
  [[ ${RELEASE_TAG:-v$version} == "v$version" ]] || fail "the tag is $RELEASE_TAG, Cargo.toml has version $version"
  setup_build
  provide release_needs
  provide image_needs
  native cargo build --release --locked --package outrigger
  name="outrigger-$version-$(rustc --version --verbose | sed -n 's/^host: //p')"
  out=$CARGO_TARGET_DIR/dist
  rm -rf "${out:?}/$name" "$out/$name".tar.gz* "$out/$name".oci.tar*
  mkdir -p "$out/$name"
  binary=$out/$name/outrigger
  strip -o "$binary" "$CARGO_TARGET_DIR/release/outrigger"
  asks_for_little "$binary"
  python3 -B scripts/package.py make "$out/$name"
  (cd "$out" && tar --owner=0 --group=0 -czf "$name.tar.gz" "$name" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
  unpacks_and_runs "$out/$name.tar.gz" "$version"
  image_is_packed "$binary" "$out" "$name"
  say "$out/$name.tar.gz, $(($(wc -c <"$out/$name.tar.gz") >> 20)) MiB; glibc $(newest_glibc "$binary") or newer"
}

# image_is_packed <stripped binary> <directory> <name>: the layout in one file, as it travels.
image_is_packed() {
  local layout
  layout=$(mktemp -d)
  image_of "$1" "$layout/image"
  python3 scripts/image.py judge "$layout/image"
  tar --sort=name --mtime=@0 --owner=0 --group=0 -cf "$2/$3.oci.tar" -C "$layout/image" .
  (cd "$2" && sha256sum "$3.oci.tar" >"$3.oci.tar.sha256")
  rm -rf "$layout"
}

# What `./x test` asks of the package, without the binary.
package_holds() {
  local place
  place=$(mktemp -d)
  python3 -B scripts/package.py make "$place" && python3 -B scripts/package.py check "$place" || return
  rm -rf "$place"
}

asks_for_little() {
  local library
  while read -r library; do
    [[ " $RELEASE_LIBRARIES " == *" $library "* ]] || fail "the binary asks for $library, which other machines may not have"
  done < <(objdump -p "$1" | awk '/NEEDED/ { print $2 }')
}

newest_glibc() { objdump -T "$1" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1 | sed 's/GLIBC_//'; }

unpacks_and_runs() {
  local place said
  place=$(mktemp -d)
  tar -xzf "$1" -C "$place"
  python3 -B scripts/package.py check "$place/$(basename "$1" .tar.gz)" || fail "the packed documents lead out of their package"
  said=$("$place/$(basename "$1" .tar.gz)/outrigger" --version) || fail "the packed binary does not run"
  rm -rf "$place"
  [[ $said == "outrigger $2"* ]] || fail "the packed binary is \`$said\`, not version $2"
}
