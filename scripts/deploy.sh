# shellcheck shell=bash
# What nodes are deployed with. Sourced by ./x.

setup_systemd() {
  [[ -z ${CI:-} ]] || provide systemd_needs
}

systemd_needs() {
  want "systemd-analyze" systemd "systemd" systemd-analyze --version
}

# systemd's own judge of a unit; the program that it runs is not installed here.
systemd_unit() {
  local dir
  if ! command -v systemd-analyze >/dev/null; then
    left_out "not checked: this machine has no systemd-analyze"
    return
  fi
  dir=$(mktemp -d)
  sed 's|/usr/local/bin/outrigger|/bin/true|' deploy/systemd/outrigger.service >"$dir/outrigger.service"
  systemd-analyze verify --man=no "$dir/outrigger.service"
  # 0 is closed, 10 is open; what it cannot do without is the network and its own directories.
  systemd-analyze security --offline=true --threshold=20 "$dir/outrigger.service" >/dev/null
  rm -r "$dir"
}

HELM_VERSION=4.3.1
KUSTOMIZE_VERSION=5.8.1
KUBERNETES_VALIDATE_VERSION=1.37.0

# What judges charts and components. They come as a module of Go and a package of Python, which nothing else here needs: CI
# installs both, and whoever has none may leave the check to CI.
setup_charts() {
  local program
  if [[ -n ${CI:-} ]]; then
    provide charts_needs
  fi
  for program in go python3; do
    if ! command -v "$program" >/dev/null; then
      left_out "$program is missing: charts and components are not checked (Debian: golang-go, python3-venv)"
      return 0
    fi
  done
  go_tool helm "$HELM_VERSION" helm.sh/helm/v4/cmd/helm &&
    go_tool kustomize "$KUSTOMIZE_VERSION" sigs.k8s.io/kustomize/kustomize/v5 &&
    python_tool kubernetes-validate "$KUBERNETES_VALIDATE_VERSION" && return
  left_out "charts and components are not checked: what judges them could not be fetched"
}

charts_needs() {
  want "Go" golang-go "Go 1.26, from go.dev or a package manager" go version
  want "Python 3 with venv" python3-venv "python3 with its module venv" python3 -c 'import ensurepip, venv'
  want "openssl" openssl "openssl, from a package manager" openssl version
}

# go_tool <name> <version> <package>
go_tool() {
  local place=$CACHE/$1-$2
  [[ ! -x $place/$1 ]] || return 0
  say "building $1, one to four minutes"
  GOBIN=$place GOFLAGS=-buildvcs=false go install "$3@v$2"
}

python_tool() {
  local place=$CACHE/$1-$2
  [[ ! -x $place/bin/$1 ]] || return 0
  say "fetching $1 (40 MB) with pip"
  rm -rf "$place"
  python3 -m venv "$place" && "$place/bin/pip" install --quiet "$1==$2"
}

# charts_hold [directory]: with the file system of the image, also what a node makes of what it is given.
charts_hold() {
  local python=$CACHE/kubernetes-validate-$KUBERNETES_VALIDATE_VERSION/bin/python
  local helm=$CACHE/helm-$HELM_VERSION/helm kustomize=$CACHE/kustomize-$KUSTOMIZE_VERSION/kustomize
  if [[ ! -x $python || ! -x $helm || ! -x $kustomize ]]; then
    left_out "not checked: see above"
    return
  fi
  "$python" -B scripts/charts --helm "$helm" --kustomize "$kustomize" ${1:+--root "$1"}
}

# The rules fire where they should and are silent elsewhere, in series that are made for each of them.
alerts() {
  if ! command -v promtool >/dev/null; then
    left_out "not checked: promtool is missing"
    return
  fi
  promtool check rules deploy/prometheus/alerts.yml && promtool test rules deploy/prometheus/alerts_test.yml
}
