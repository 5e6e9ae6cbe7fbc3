# shellcheck shell=bash
# What builds and tests need, and how to see whether it is here: each check tries the thing, or looks where the build
# will look, so that a minute of building never ends at something that could have been said before.
# Sourced by ./x. scripts/needs_test.sh holds the checks against made-up machines.

# RocksDB is C++20 (its INSTALL.md); OpenSSL's Configure loads the modules of perl.
CXX_STANDARD=c++20
PERL_MODULES=(FindBin IPC::Cmd Time::Piece File::Compare Pod::Usage Data::Dumper)
JAVA_MIN=17

MISSING=()
PACKAGES=()

# want <name> <Debian package> <advice elsewhere> <check...>
want() {
  local name=$1 package=$2 advice=$3
  shift 3
  "$@" >/dev/null 2>&1 && return
  MISSING+=("$name: $advice")
  PACKAGES+=("$package")
}

# now <variable>: its value, where one is set that may be what is wrong.
now() { [[ -z ${!1:-} ]] || printf ' (it is %s now)' "${!1}"; }

linker_needs() {
  want "a C compiler that links programs" gcc "gcc or clang (macOS: xcode-select --install)" has_c
  # A compiler comes without the C library's headers where recommended packages are left out.
  want "the C library's headers" libc6-dev "the C library's development files" has_c
}

build_needs() {
  linker_needs
  want "a C++ compiler for C++20" g++ "g++ 11 or clang++ 10, or newer, with its standard library" has_cxx
  want "GNU make" make "GNU make" has_make
  want "pkg-config" pkg-config "pkg-config or pkgconf" pkg-config --version
  want "perl with its core modules" perl "perl (OpenSSL is built with it)" has_perl
  want "libclang" libclang-dev \
    "LLVM's libclang.so with its headers, not libclang-cpp; LIBCLANG_PATH names an unusual place$(now LIBCLANG_PATH)" \
    has_libclang
}

kafka_needs() {
  want "Java $JAVA_MIN or newer" java "a JDK, on PATH or in JAVA_HOME$(now JAVA_HOME)" has_java
  want "kcat" kcat "kcat, from a package manager" kcat -V
  # It fetches jars and is not needed again while they are there.
  [[ -d $OUTRIGGER_KAFKA_LIB ]] || want "Maven" maven "mvn, from maven.apache.org or a package manager" mvn --version
}

contenders_needs() {
  want "a Java compiler, $JAVA_MIN or newer" default-jdk-headless "a JDK, on PATH or in JAVA_HOME$(now JAVA_HOME)" has_javac
}

cdc_needs() {
  contenders_needs
  [[ -d $CDC_LIB ]] || want "Maven" maven "mvn, from maven.apache.org or a package manager" mvn --version
  want "sqlite3" sqlite3 "sqlite3, from a package manager" sqlite3 --version
}

contract_needs() {
  want "npm" npm "npm, from a package manager" npm --version
}

network_needs() {
  want "ip of iproute2" iproute2 "iproute2, from a package manager" has_ip
}

has_c() {
  compiles "${CC:-cc}" c <<<'#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }'
}

# <version> and <semaphore> came with C++20: an older standard library has neither.
has_cxx() {
  compiles "${CXX:-c++}" c++ -std="$CXX_STANDARD" <<<'#include <cstdint>
#include <semaphore>
#include <version>
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 11
#error "RocksDB needs GCC 11"
#endif
int main() { return 0; }'
}

# compiles <compiler> <language> [flags]: standard input becomes a program, which is not run.
compiles() {
  local compiler=$1 language=$2 program status=0
  shift 2
  program=$(mktemp)
  "$compiler" "$@" -x "$language" - -o "$program" || status=1
  rm -f "$program"
  return $status
}

has_make() { make --version | grep -q '^GNU Make'; }

has_perl() { perl "${PERL_MODULES[@]/#/-M}" -e 1; }

# Looks for what bindgen looks for, where it looks for it (clang-sys 1.9: build/common.rs and build/dynamic.rs), and for
# the compiler's own headers beside it, which a package of libclang alone does not have.
has_libclang() {
  local place library
  while read -r place; do
    for library in "$place"/libclang.so "$place"/libclang-*.so "$place"/libclang.so.* \
      "$place"/libclang-*.so.* "$place"/libclang.dylib; do
      # libclang-cpp is another library, which many machines have.
      [[ -f $library && $(basename "$library") != *-cpp.* ]] || continue
      ! { is_library "$library" && has_clang_headers "$library"; } || return 0
    done
  done < <(libclang_places)
  return 1
}

# LIBCLANG_PATH, a directory or a file in it, is the only place where it is set.
libclang_places() {
  local prefix root=${SYSTEM_ROOT:-}
  if [[ -n ${LIBCLANG_PATH:-} ]]; then
    if [[ -f $LIBCLANG_PATH ]]; then dirname "$LIBCLANG_PATH"; else echo "$LIBCLANG_PATH"; fi
    return
  fi
  if prefix=$("${LLVM_CONFIG_PATH:-llvm-config}" --prefix 2>/dev/null); then
    printf '%s\n' "$prefix"/{bin,lib,lib64}
  fi
  tr ':' '\n' <<<"${LD_LIBRARY_PATH:-}:${LIBRARY_PATH:-}" | sed '/^$/d'
  directories "$root"/usr/local/llvm*/lib* "$root"/usr/local/lib*{/*/*,/*,} \
    "$root"/usr/lib*{/*/*,/*,} "$root"/usr/local/opt/llvm*/lib \
    "$root"/opt/homebrew/opt/llvm*/lib "$root"/Library/Developer/CommandLineTools/usr/lib
}

directories() {
  local place
  for place in "$@"; do [[ ! -d $place ]] || echo "$place"; done
}

# An ELF file of 64 bits, or a Mach-O one: bindgen takes nothing else for a library of this machine.
is_library() {
  local magic
  magic=$(od -An -tx1 -N5 "$1" 2>/dev/null | tr -d ' \n')
  [[ $magic == 7f454c4602 || $magic == cffaedfe* || $magic == cafebabe* ]]
}

# They are in clang/<version> beside the library that it really is, or above it; Debian has them with the rest of LLVM.
has_clang_headers() {
  local at place
  at=$(dirname "$(readlink -f "$1")")
  for place in "$at" "$at/.." "$at/../lib" "${SYSTEM_ROOT:-}"/usr/lib/llvm-*/lib; do
    [[ -z $(compgen -G "$place/clang/*/include/stddef.h") ]] || return 0
  done
  return 1
}

has_javac() {
  local version
  version=$("$(java_program javac)" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
  [[ ${version:-0} -ge $JAVA_MIN ]]
}

# Java 8 calls itself 1.8, a preview 21-ea.
has_java() {
  local version
  version=$("$(java_program java)" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  [[ ${version:-0} -ge $JAVA_MIN ]]
}

java_program() { echo "${JAVA_HOME:+$JAVA_HOME/bin/}$1"; }

# Another program of that name has no namespaces.
has_ip() { ip -Version | grep -q iproute2; }

# rust_fault <oldest version>: says what is wrong with the toolchain, nothing when it is right.
rust_fault() {
  local wanted=$1 have program
  for program in cargo rustc; do
    command -v "$program" >/dev/null || {
      echo "no Rust toolchain ($program): install one from https://rustup.rs, then run this again"
      return
    }
    # Without a default toolchain rustup's own words say what to do.
    have=$("$program" --version 2>&1) || {
      echo "$program does not run: $have"
      return
    }
  done
  have=$(awk '{ print $2 }' <<<"$have")
  [[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1) == "$wanted" ]] ||
    echo "Rust $have is too old, $wanted is needed: rustup update stable"
}
