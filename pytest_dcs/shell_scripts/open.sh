# What the long-lived shell is told first. POSIX sh, built-in commands only: the image may have
# nothing else, and a process more would cost a millisecond for each command.

dcs_known=
# Where the shell does not know -ef, every new process counts as one that can write to the streams.
# shellcheck disable=SC3013
if [ / -ef / ] 2>/dev/null; then dcs_compares=yes; else dcs_compares=no; fi

# dcs_end TOKEN STATUS: ends the output of a command on both streams, with its exit status, whether
# a process that it left behind can still write to them, and the pids that are there now.
dcs_end() {
    dcs_pids=
    dcs_shared=no
    for dcs_process in /proc/[0-9]*; do
        dcs_pid=${dcs_process#/proc/}
        dcs_pids="$dcs_pids $dcs_pid"
        case "$dcs_known $$ " in *" $dcs_pid "*) continue ;; esac
        [ "$dcs_compares" = no ] && dcs_shared=yes && continue
        for dcs_file in "$dcs_process"/fd/*; do
            # shellcheck disable=SC3013
            if [ "$dcs_file" -ef "/proc/$$/fd/1" ] || [ "$dcs_file" -ef "/proc/$$/fd/2" ]; then
                dcs_shared=yes
            fi
        done
    done
    dcs_known=$dcs_pids
    echo "$1 $2 $dcs_shared $$$dcs_pids ;"
    echo "$1" >&2
}
