#!/usr/bin/env bash
# A real SLURM of one machine, this one, for the tests marked `slurm`; three plain processes, nothing under /etc:
#   tools/slurm_for_tests.sh up DIR      start what of it does not run; needs Debian's slurm-wlm and munge, which root
#                                        gets installed; status 77 where they cannot be had
#   tools/slurm_for_tests.sh env DIR     what SLURM's programs find it by, as a line of `export NAME=value`
#   tools/slurm_for_tests.sh down DIR    end its jobs and its processes
set -euo pipefail
case "${1:-}" in up | env | down) ;; *) sed -n '2,6s/^# //p' "$0"; exit 2 ;; esac
mkdir -p "$2"
DIR=$(cd "$2" && pwd)
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$DIR/slurm.conf
PROGRAMS=(munged slurmctld slurmd)

lives() { # also tells it from what has ended but was not waited for (state Z), and from another of the same number
  local pid
  pid=$(cat "$DIR/$1.pid" 2>/dev/null) && grep -qF "($1) " "/proc/$pid/stat" 2>/dev/null &&
    ! grep -q ') Z ' "/proc/$pid/stat"
}
ended() { ! lives "$1"; }
munge_answers() { munge -S "$DIR/munge.socket" -n 2>/dev/null | unmunge -S "$DIR/munge.socket" &>/dev/null; }
node_is_up() { timeout 10 sinfo --noheader --format=%t 2>/dev/null | grep -qE '^(idle|mix|alloc|comp)$'; }
no_jobs() { [ -z "$(timeout 10 squeue --noheader 2>/dev/null)" ]; }

within() { # SECONDS COMMAND...: wait until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

fail() {
  echo "slurm_for_tests: $1; $DIR/*.log says why" >&2
  exit 1
}

install_missing() {
  command -v "${PROGRAMS[@]}" sbatch >/dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "slurm_for_tests: SLURM is not installed, and only root can install it, with apt-get" >&2
    exit 77
  fi
  # Debian's packages would start services of their own
  local policy=/usr/sbin/policy-rc.d ours=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && ours=1; }
  local status=0
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge; } \
    &>"$DIR/apt.log" || status=$?
  [ -z $ours ] || rm $policy
  [ $status = 0 ] && return
  echo "slurm_for_tests: apt-get does not install SLURM: $(tail -n 1 "$DIR/apt.log")" >&2
  exit 77
}

configure() {
  mkdir -p "$DIR"/{state,spool}
  (umask 077 && head -c 128 /dev/urandom >"$DIR/munge.key")
  local host ports memory_mb
  host=$(hostname -s)
  ports=($(python3 - <<'PYTHON'
import socket
free = [socket.socket() for _ in range(2)]
for each in free:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in free))
PYTHON
  ))
  memory_mb=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  # A container may have no cgroups; before 23.11 SLURM does not look for what it is not told to use
  if printf '%s\n' 23.11 "$(slurmd -V | awk '{print $2}')" | sort -VC; then
    echo 'CgroupPlugin=disabled' >"$DIR/cgroup.conf"
  fi
  cat >"$SLURM_CONF" <<CONFIGURATION
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
# A requeued job waits as long as credentials last; the default is two minutes
AuthInfo=socket=$DIR/munge.socket,cred_expire=5
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory_mb State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=24:00:00 State=UP
CONFIGURATION
}

start() { # PROGRAM ARGUMENTS...
  lives "$1" && return
  "$@" </dev/null &>>"$DIR/$1.out.log" || fail "$1 does not start"
}

up() {
  install_missing
  [ -s "$SLURM_CONF" ] || configure
  # --force: a test's folder may be closed to other users, who have no need of it
  start munged --force --key-file="$DIR/munge.key" --seed-file="$DIR/munge.seed" --socket="$DIR/munge.socket" \
    --pid-file="$DIR/munged.pid" --log-file="$DIR/munged.log"
  within 10 munge_answers || fail "munge does not answer"
  start slurmctld -i -f "$SLURM_CONF"
  start slurmd -f "$SLURM_CONF"
  within 60 node_is_up || fail "the node does not come up"
}

down() {
  if lives slurmctld; then
    timeout 10 scancel --full --quiet --user="$(id -un)" || true
    within 15 no_jobs || echo "slurm_for_tests: jobs are left in the queue" >&2
  fi
  local name
  for name in slurmd slurmctld munged; do
    lives $name || continue
    kill "$(<"$DIR/$name.pid")"
    within 15 ended $name || kill -KILL "$(<"$DIR/$name.pid")"
  done
}

case "$1" in
  up) up ;;
  env) echo "export SLURM_CONF=$SLURM_CONF" ;;
  down) down ;;
esac
