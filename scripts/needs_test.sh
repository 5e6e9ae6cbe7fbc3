#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2059,SC1091 # needs.sh reads the variables; the first bytes are a format
# Holds the checks of needs.sh against made-up machines: programs that are a few lines of shell, libraries of five bytes.
# What only a real machine can tell is `./x bare`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./needs.sh

TEMP=$(mktemp -d)
trap 'rm -rf "$TEMP"' EXIT
# What the checks themselves are made of, and nothing that they look for.
TOOLS=$TEMP/tools
mkdir "$TOOLS"
for tool in awk basename bash cat dirname grep head mktemp od readlink rm sed sort tr; do
  ln -s "$(command -v "$tool")" "$TOOLS/$tool"
done

CASES=0
FAILED=0

# machine <name>: a new one, with nothing in it.
machine() {
  NAME=$1 SYSTEM_ROOT="$TEMP/machine-$CASES" BIN="$TEMP/machine-$CASES/bin"
  unset JAVA_HOME LIBCLANG_PATH LLVM_CONFIG_PATH LD_LIBRARY_PATH LIBRARY_PATH CC CXX
  mkdir -p "$BIN"
}

# program <name> <its lines>
program() {
  mkdir -p "$(dirname "$BIN/$1")"
  printf '#!%s\n%s\n' "$(command -v bash)" "$2" >"$BIN/$1"
  chmod +x "$BIN/$1"
}

# library <path> [first bytes]
library() {
  mkdir -p "$SYSTEM_ROOT/$(dirname "$1")"
  printf "${2:-\\x7fELF\\x02}" >"$SYSTEM_ROOT/$1"
}

headers() { library "$1/clang/${2:-14}/include/stddef.h" '/**/'; }

link() {
  mkdir -p "$SYSTEM_ROOT/$(dirname "$2")"
  ln -s "$1" "$SYSTEM_ROOT/$2"
}

# finds <check> and misses <check>: on the machine made last.
finds() { expect 0 "$@"; }
misses() { expect 1 "$@"; }

expect() {
  local wanted=$1 status=0
  shift
  (PATH="$BIN:$TOOLS" "$@") >/dev/null 2>&1 || status=1
  verdict "$*" "$wanted" "$status"
}

# says <part of what it prints, empty for nothing> <check>
says() {
  local text wanted=$1
  shift
  text=$(PATH="$BIN:$TOOLS" "$@" 2>&1) || true
  if [[ -z $wanted ]]; then verdict "$*: $text" "" "$text"; else verdict "$*: $text" 0 "$([[ $text == *"$wanted"* ]]; echo $?)"; fi
}

verdict() {
  CASES=$((CASES + 1))
  [[ $2 == "$3" ]] && return
  printf 'needs_test: %s: %s: wanted %s, not %s\n' "$NAME" "$1" "${2:-nothing}" "${3:-nothing}" >&2
  FAILED=$((FAILED + 1))
}

L14=usr/lib/llvm-14/lib
X86=usr/lib/x86_64-linux-gnu

machine "nothing" && misses has_libclang
machine "libclang-dev of Debian 12" && library $X86/libclang-14.so.14.0.6 && headers $L14 14.0.6 &&
  link libclang-14.so.14.0.6 $X86/libclang-14.so.1 && finds has_libclang
machine "libclang-cpp alone, as much brings it" && library $X86/libclang-cpp.so.14 && headers $L14 && misses has_libclang
machine "libclang-cpp with a longer version" && library $X86/libclang-cpp.so.14.0.6 && library $L14/libclang-cpp.so &&
  headers $L14 && misses has_libclang
machine "static libraries only" && library $L14/libclangBasic.a && library $L14/libclang.a && headers $L14 && misses has_libclang
machine "libclang1 without the compiler's headers" && library $X86/libclang-14.so.1 && misses has_libclang
machine "a library of 32 bits" && library usr/lib/libclang.so.1 '\x7fELF\x01' && headers usr/lib && misses has_libclang
machine "a linker's script" && library usr/lib/libclang.so 'INPUT(x)' && headers usr/lib && misses has_libclang
machine "a broken link" && link libclang-19.so.1 $X86/libclang.so && headers usr/lib/llvm-19/lib && misses has_libclang
machine "the newer layout" && library usr/lib/llvm-19/lib/libclang-19.so.19 && headers usr/lib/llvm-19/lib 19 && finds has_libclang
machine "Fedora's" && library usr/lib64/libclang.so.18.1.8 && headers usr/lib 18 && finds has_libclang
machine "one's own LLVM" && library usr/local/llvm/lib/libclang.so && headers usr/local/llvm/lib && finds has_libclang
machine "an unusual place" && library opt/llvm/lib/libclang.so && headers opt/llvm/lib && misses has_libclang
LIBCLANG_PATH=$SYSTEM_ROOT/opt/llvm/lib && finds has_libclang
LIBCLANG_PATH=$SYSTEM_ROOT/opt/llvm/lib/libclang.so && finds has_libclang
machine "LIBCLANG_PATH elsewhere hides a good one" && library usr/lib64/libclang.so && headers usr/lib64
LIBCLANG_PATH=$SYSTEM_ROOT/nowhere && misses has_libclang
says nowhere now LIBCLANG_PATH
machine "llvm-config knows the place" && library opt/llvm/lib/libclang.so && headers opt/llvm/lib &&
  program llvm-config "echo $SYSTEM_ROOT/opt/llvm" && finds has_libclang

machine "no compilers" && misses has_c && misses has_cxx
machine "compilers that work" && program cc 'cat >/dev/null' && program c++ 'cat >/dev/null' && finds has_c && finds has_cxx
machine "no C library's headers, or an old standard" && program cc 'exit 1' && program c++ 'exit 1' &&
  misses has_c && misses has_cxx
machine "a compiler that CXX names" && program mine 'cat >/dev/null'
CXX=mine && finds has_cxx

machine "no make" && misses has_make
machine "GNU make" && program make 'echo "GNU Make 4.3"' && finds has_make
machine "BSD's make" && program make 'exit 2' && misses has_make

machine "no perl" && misses has_perl
machine "perl" && program perl 'exit 0' && finds has_perl
machine "perl-base, without its modules" && program perl 'exit 2' && misses has_perl

jdk() { program "$1" "echo '$2' >&2"; }
machine "no Java" && misses has_java && misses has_javac
machine "Java 8" && jdk java 'openjdk version "1.8.0_352"' && jdk javac 'javac 1.8.0_352' && misses has_java && misses has_javac
machine "Java 11" && jdk java 'openjdk version "11.0.2" 2019-01-15' && jdk javac 'javac 11.0.2' && misses has_java && misses has_javac
machine "Java 17" && jdk java 'openjdk version "17.0.15" 2025-04-15' && jdk javac 'javac 17.0.15' && finds has_java && finds has_javac
machine "a preview" && jdk java 'openjdk version "21-ea" 2023-09-19' && jdk javac 'javac 21-ea' && finds has_java && finds has_javac
machine "a runtime without compiler" && jdk java 'openjdk version "17"' && finds has_java && misses has_javac
machine "the stub of macOS" && jdk java 'Unable to locate a Java Runtime.' && misses has_java
machine "JAVA_HOME before PATH" && jdk java 'openjdk version "11"' && jdk jdk/bin/java 'openjdk version "21"' && misses has_java
JAVA_HOME=$BIN/jdk && finds has_java
JAVA_HOME=$BIN/gone && misses has_java && says gone now JAVA_HOME

machine "no ip" && misses has_ip
machine "iproute2" && program ip 'echo "ip utility, iproute2-6.1.0"' && finds has_ip
machine "another ip" && program ip 'echo "BusyBox v1.36"; exit 1' && misses has_ip

rust() { program cargo "echo 'cargo $1 (x)'" && program rustc "echo 'rustc $1 (x)'"; }
machine "no Rust" && says "install one from https://rustup.rs" rust_fault 1.95
machine "cargo alone" && program cargo 'echo cargo 1.95.0' && says "no Rust toolchain (rustc)" rust_fault 1.95
machine "rustup without a toolchain" && program cargo 'echo "no default toolchain" >&2; exit 1' && program rustc 'exit 1' &&
  says "cargo does not run: no default toolchain" rust_fault 1.95
machine "an old Rust" && rust 1.94.1 && says "Rust 1.94.1 is too old, 1.95 is needed" rust_fault 1.95
machine "an old Rust of two digits" && rust 1.9.0 && says "too old" rust_fault 1.95
machine "that very Rust" && rust 1.95.0 && says "" rust_fault 1.95
machine "a newer Rust" && rust 1.100.0 && says "" rust_fault 1.95
machine "a nightly" && rust 1.97.0-nightly && says "" rust_fault 1.95

printf '%d cases, %d failed\n' "$CASES" "$FAILED"
[[ $FAILED -eq 0 ]]
