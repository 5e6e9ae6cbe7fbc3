#!/usr/bin/env bash
# publish_image.sh DIRECTORY IMAGE:TAG: makes one image of the packed ones in DIRECTORY, each for a kind of machine, and sends
# it to its registry with skopeo. Without a second argument it is only made and judged.
set -euo pipefail
dist=$(realpath "$1") image=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
sources=()
for packed in "$dist"/*.oci.tar; do
  (cd "$dist" && sha256sum --check "$(basename "$packed").sha256")
  mkdir "$place/${#sources[@]}"
  tar -xf "$packed" -C "$place/${#sources[@]}"
  sources+=("$place/${#sources[@]}")
done
python3 scripts/image.py merge "$place/image" "${sources[@]}"
python3 scripts/image.py judge "$place/image"
[[ -n $image ]] || exit 0
skopeo copy --all --dest-creds "$IMAGE_USER:$IMAGE_PASSWORD" "oci:$place/image" "docker://$image"
