#!/usr/bin/env bash
# Build the images of Dockerfile and apptainer.def where no registry can be reached and no daemon runs, and run them, below
# a folder:
#   tools/try_image_steps.sh [FOLDER]
# In place of the base that they name stands a Debian that debootstrap makes, with Debian's Python. Dockerfile is built by
# buildah, which reads it as it is; of apptainer.def, whose program Debian does not have, the sections are run one by one.
# Then the first image runs as it is meant to: read-only but for /data and /tmp, without a network, as a user without name.
# Root alone can do that. $TORCH is as tools/image_install.sh takes it (constraints.txt's, from where pip looks first);
# $SHOW names files and folders of this machine that the builds see too, such as /etc/pip.conf and a folder of wheels.
set -euo pipefail
cd "$(dirname "$0")/.."
FOLDER=${1:-build/image}
SUITE=bookworm
TORCH=${TORCH:-$(grep '^torch==' constraints.txt)}
for program in debootstrap buildah unshare; do
  command -v $program >/dev/null || { echo "error: $program is missing; apt-get install debootstrap buildah util-linux" >&2; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "error: root alone can do this" >&2; exit 77; }
mkdir -p "$FOLDER"
FOLDER=$(cd "$FOLDER" && pwd)
BASE=$(sed -n 's/^ARG BASE=//p' Dockerfile)
show=()
for path in ${SHOW:-}; do show+=(--volume "$path:$path:ro"); done
b() { buildah --root "$FOLDER/storage" --runroot "$FOLDER/run" --storage-driver vfs "$@"; }
in_base() { b run --isolation chroot "${show[@]}" "$container" -- sh -ec "$1"; }
section() { awk -v wanted="%$1" '/^%/ { on = $1 == wanted; next } on' apptainer.def | sed "s|{{ TORCH }}|$TORCH|"; }

[ "$(sed -n 's/^From: //p' apptainer.def)" = "$BASE" ] || { echo "error: apptainer.def has another base" >&2; exit 1; }
ls dist/pneumobundle-*.whl

echo "== A base in place of $BASE"
if [ ! -e "$FOLDER/root/made" ]; then
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates $SUITE "$FOLDER/root" >"$FOLDER/debootstrap.log"
  ln -s /usr/bin/python3 "$FOLDER/root/usr/local/bin/python"
  touch "$FOLDER/root/made"
fi
container=$(b from scratch)
b add --quiet "$container" "$FOLDER/root" / >/dev/null
b commit --quiet --rm "$container" "docker.io/library/$BASE" >/dev/null

echo "== Dockerfile"
b build --isolation chroot --pull-never --format docker "${show[@]}" --build-arg "TORCH=$TORCH" --tag pneumobundle .

echo "== The image, read-only, without a network, as user 12345"
container=$(b from --pull-never pneumobundle)
image=$(b mount "$container")
mkdir -p "$FOLDER/data"
chown 12345:12345 "$FOLDER/data"
user=$(b inspect --format '{{.Docker.Config.User}}' "$container")
[ "$user" = 1000:1000 ] || { echo "error: the image's user is $user, expected 1000:1000" >&2; exit 1; }
b inspect --format '{{.Docker.Config.Entrypoint}} {{.Docker.Config.WorkingDir}} {{.Docker.Config.Healthcheck}}{{println}}' "$container"
b inspect --format '{{range .Docker.Config.Env}}{{println .}}{{end}}' "$container" | sed '/^$/d' >"$FOLDER/environment"
mapfile -t environment <"$FOLDER/environment"
run() { # WORDS...: as the image's ENTRYPOINT would
  # shellcheck disable=SC2016 # the inner shell's own variables
  unshare --mount --net bash -euc '
    image=$1 data=$2
    shift 2
    mount --bind "$image" "$image"
    mount -o remount,bind,ro "$image"
    mount -t tmpfs -o mode=1777 tmpfs "$image/tmp"
    mount --bind "$data" "$image/data"
    mount -t proc proc "$image/proc"
    mount --bind /dev "$image/dev"
    mount -t tmpfs -o mode=1777,size=1g tmpfs "$image/dev/shm"
    exec chroot --userspec=12345:12345 --groups= "$image" "$@"
  ' bash "$image" "$FOLDER/data" /usr/bin/env -i "${environment[@]}" sh -ec 'cd /data; exec "$@"' sh "$@"
}
run pneumobundle --version
run sh -c 'id; ! touch /opt/here 2>/dev/null; touch /tmp/a /data/a'
run pneumobundle phantom phantom
run pneumobundle cv --data phantom --preset demo --folds 5 --fold 0 --out cv --overrides "{'max_epochs': 1, 'iterations_per_epoch': 2}"
first=$(basename "$(find "$FOLDER/data/phantom/images" -name '*.nii.gz' | sort | head -n 1)")
run pneumobundle predict "phantom/images/$first" --model cv/fold0 --out labels
ls -l "$FOLDER/data/labels"
b umount "$container" >/dev/null
b rm "$container" >/dev/null

echo "== apptainer.def"
container=$(b from --pull-never "docker.io/library/$BASE")
section files | while read -r from to; do
  # shellcheck disable=SC2086 # a pattern
  [ -z "$from" ] || b copy --quiet "$container" $from "$to" >/dev/null
done
in_base "$(section post)"
in_base "$(section environment)
$(section test)"
in_base "$(section environment)
set -- --version
$(section runscript)"
b rm "$container" >/dev/null
echo "All steps were done."
