# Sourced: builds container images without a daemon.
# shellcheck shell=bash

# make_image CONTAINERFILE CONTEXT IMAGE ARCHIVE [ARGUMENT]: builds an image FROM scratch, with a build argument NAME=VALUE, and
# saves it as a docker-archive.
#
# Its storage is a folder that is thrown away. `chroot` and `vfs` work also inside a container.
make_image() (
    set -euo pipefail
    local containerfile="$1" context="$2" image="$3" archive="$4" storage arguments=()
    (($# < 5)) || arguments=(--build-arg "$5")
    storage="$(mktemp -d)"
    trap 'rm -rf "$storage"' EXIT
    export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
    buildah=(buildah --root "$storage/root" --runroot "$storage/run")
    "${buildah[@]}" bud --quiet --timestamp 0 "${arguments[@]}" --file "$containerfile" --tag "$image" "$context" >/dev/null
    mkdir -p "$(dirname "$archive")"
    rm -f "$archive" # the target of a docker-archive must not exist
    "${buildah[@]}" push --quiet "$image" "docker-archive:$archive:$image"
)
