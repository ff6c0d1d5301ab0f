# Sourced by the scripts of this folder: messages, deadlines, and the place where built things are kept.
# shellcheck shell=bash

LAB_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_SELF=${0##*/}
# cron and su give PATHs without sbin, where mke2fs, debugfs and libvirtd live.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "$LAB_SELF" "$*" >&2; }
die() { say "$*"; exit 1; }
usage() { printf 'usage: %s %s\n' "$LAB_SELF" "$*" >&2; exit 2; }

# Built things (guest image, QEMU's capabilities) outlive a run here; safe to delete at any time.
lab_cache() { printf '%s\n' "${VMKEEP_CACHE:-$(dirname "$(dirname "$LAB_HOME")")/.cache}/lab"; }

# until_true SECONDS COMMAND...: polls instead of sleeping blindly; 1 when the deadline passed.
until_true() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
  shift
  until "$@" >/dev/null 2>&1; do
    ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
    sleep 0.05
  done
}
